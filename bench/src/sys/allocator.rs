//! An allocator that counts what its thread allocates, and notes where on request.

use std::alloc::{GlobalAlloc, Layout, System};
use std::backtrace::Backtrace;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

/// The system's allocator, counted.
pub struct CountingAllocator;

/// Allocations of one thread. A reallocation counts as one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// How many.
    pub allocations: u64,
    /// Their size, in bytes.
    pub bytes: u64,
    /// What it has given back, in bytes.
    pub freed_bytes: u64,
}

/// Folders of the broker's sources.
const OURS: [&str; 2] = ["engine/", "net/protocol/"];

/// Backtraces that are kept at most: they take some KiB each.
const TRACES_MAX: usize = 20_000;

thread_local! {
    static COUNT: Cell<Count> = const { Cell::new(Count::NONE) };
    static TRACES: RefCell<Option<Vec<Backtrace>>> = const { RefCell::new(None) };
    static IS_TRACING: Cell<bool> = const { Cell::new(false) };
}

/// What this thread has allocated so far.
pub fn count() -> Count {
    COUNT.get()
}

impl Count {
    const NONE: Count = Count {
        allocations: 0,
        bytes: 0,
        freed_bytes: 0,
    };

    /// What was allocated since `before`.
    pub fn since(self, before: Count) -> Count {
        Count {
            allocations: self.allocations - before.allocations,
            bytes: self.bytes - before.bytes,
            freed_bytes: self.freed_bytes - before.freed_bytes,
        }
    }

    /// Adds `other`.
    pub fn add(&mut self, other: Count) {
        self.allocations += other.allocations;
        self.bytes += other.bytes;
        self.freed_bytes += other.freed_bytes;
    }
}

/// Notes where this thread allocates while `work` runs. Returns, for each place in the broker's
/// own code, how often it allocated; most frequent first.
pub fn trace(work: impl FnOnce()) -> Vec<(String, u64)> {
    TRACES.set(Some(Vec::with_capacity(TRACES_MAX)));
    IS_TRACING.set(true);
    work();
    IS_TRACING.set(false);
    let traces = TRACES.take().unwrap_or_default();
    let mut places: BTreeMap<String, u64> = BTreeMap::new();
    for trace in traces {
        *places.entry(place(&trace.to_string())).or_default() += 1;
    }
    let mut places: Vec<(String, u64)> = places.into_iter().collect();
    places.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    places
}

/// The innermost frame of a printed backtrace that is the broker's: function, file and line.
fn place(trace: &str) -> String {
    let mut lines = trace.lines().peekable();
    while let Some(line) = lines.next() {
        let Some((_, name)) = line.split_once(": ") else {
            continue;
        };
        if !lines
            .peek()
            .is_some_and(|next| next.trim_start().starts_with("at "))
        {
            continue;
        }
        // The place of a frame stands on the line below its name. The standard library's frames
        // may have the broker's types in their names, so only the place tells.
        let at = lines.next().unwrap_or_default().trim();
        let is_ours = OURS.iter().any(|folder| at.contains(folder));
        if is_ours {
            let file = at.split_once("engine/").or(at.split_once("net/"));
            return format!("{name} ({})", file.map_or(at, |(_, file)| file));
        }
    }
    "outside the broker".to_string()
}

fn note(bytes: usize) {
    // Without a thread-local (a thread that ends) there is nobody to count for.
    let _ = COUNT.try_with(|count| {
        let mut now = count.get();
        now.allocations += 1;
        now.bytes += bytes as u64;
        count.set(now);
    });
    if IS_TRACING.try_with(Cell::get) != Ok(true) {
        return;
    }
    IS_TRACING.set(false);
    let before = COUNT.get();
    TRACES.with_borrow_mut(|traces| {
        if let Some(traces) = traces.as_mut().filter(|traces| traces.len() < TRACES_MAX) {
            traces.push(Backtrace::force_capture());
        }
    });
    COUNT.set(before);
    IS_TRACING.set(true);
}

fn note_freed(bytes: usize) {
    let _ = COUNT.try_with(|count| {
        let mut now = count.get();
        now.freed_bytes += bytes as u64;
        count.set(now);
    });
}

// SAFETY: every call goes to the system's allocator as it came. The counters are thread-locals
// without destructors that are initialised at compile time, so counting does not allocate;
// tracing, which does, switches itself off for that time.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: the caller's promises are those that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(size);
        note_freed(layout.size());
        // SAFETY: as above.
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        note_freed(layout.size());
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}
