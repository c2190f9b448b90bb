//! Small files, read and written whole.

use sillon_buffer::Slice;
use sillon_buffer::planted::{self, Bug};

use crate::procedure::{Io, bytes, done};
use crate::{Access, DiskError, DiskOp, IoClass};

/// The whole content of a small file; `None` when there is none.
pub(crate) async fn read_file(io: &Io, path: &str) -> Result<Option<Vec<u8>>, DiskError> {
    let (file, len) = match io.open(path, false, Access::Buffered).await {
        Ok(opened) => opened,
        Err(DiskError::NotFound(_)) => return Ok(None),
        Err(error) => return Err(error),
    };
    let position = 0;
    let read = bytes(
        io.call(DiskOp::Read {
            file,
            position,
            len,
            class: IoClass::Foreground,
        })
        .await,
    );
    let closed = done(io.call(DiskOp::Close { file }).await);
    let content = read?;
    closed?;
    Ok(Some(content))
}

/// Writes a small file and makes its content durable, not its name.
pub(crate) async fn write_file(io: &Io, path: &str, content: &[u8]) -> Result<(), DiskError> {
    let (file, _) = io.open(path, true, Access::Buffered).await?;
    let written = async {
        done(io.call(DiskOp::Truncate { file, len: 0 }).await)?;
        if !content.is_empty() {
            let pieces = vec![Slice::copy_of(content)];
            let write = io.call(DiskOp::Write {
                file,
                position: 0,
                pieces,
                class: IoClass::Background,
            });
            done(write.await)?;
        }
        done(io.call(DiskOp::Sync { file }).await)
    };
    let result = written.await;
    let closed = done(io.call(DiskOp::Close { file }).await);
    result?;
    closed
}

/// Replaces a small file so that a crash leaves the old or the new one, whole.
pub(crate) async fn replace_file(
    io: &Io,
    folder: &str,
    name: &str,
    new_name: &str,
    content: &[u8],
) -> Result<(), DiskError> {
    let prefix = match folder {
        "" => String::new(),
        folder => format!("{folder}/"),
    };
    let (to, from) = (format!("{prefix}{name}"), format!("{prefix}{new_name}"));
    write_file(io, &from, content).await?;
    let renamed = io.call(DiskOp::Rename {
        from: from.into(),
        to: to.into(),
    });
    done(renamed.await)?;
    if planted::is(Bug::RenameWithoutFolderSync) {
        return Ok(());
    }
    done(
        io.call(DiskOp::SyncFolder {
            path: folder.into(),
        })
        .await,
    )
}
