//! What every [`Disk`] does: one suite of named cases, which the glommio disk and the simulated one
//! both pass. What a crash may take is the simulator's own matter.
//!
//! Each case gets a fresh disk over an empty data folder and panics, with what it saw, when the
//! disk does something else.

mod contents;
mod in_flight;
mod names;
mod user;

use contents::*;
use in_flight::*;
use names::*;
use user::User;

use crate::Disk;

/// Runs every case. `make` gives a fresh disk over an empty data folder for the case of that name.
///
/// # Panics
/// When the disk does not conform; the message names what was expected.
pub async fn conforms<D: Disk>(mut make: impl AsyncFnMut(&'static str) -> D) {
    for case in CASES {
        let disk = make(case).await;
        run_case(case, &disk).await;
    }
}

macro_rules! cases {
    ($($name:ident,)*) => {
        /// The names of all cases.
        pub const CASES: &[&str] = &[$(stringify!($name)),*];

        /// Runs one case on a fresh disk over an empty data folder.
        ///
        /// # Panics
        /// When the disk does not conform, or there is no such case.
        pub async fn run_case<D: Disk>(name: &str, disk: &D) {
            let mut user = User::new(disk);
            match name {
                $(stringify!($name) => $name(&mut user).await,)*
                _ => panic!("{name}: no such case"),
            }
        }
    };
}

cases! {
    a_new_file_is_empty_and_keeps_what_is_written,
    a_missing_file_or_folder_is_not_found,
    a_direct_write_fills_its_last_block_with_zeros,
    pieces_of_any_length_land_one_behind_the_other,
    a_direct_file_is_read_at_any_position_and_length,
    a_buffered_file_is_written_at_any_position,
    a_write_behind_the_end_leaves_zeros_between,
    a_write_of_nothing_changes_nothing,
    a_rewritten_block_leaves_its_neighbours_alone,
    allocation_extends_with_zeros_and_never_shrinks,
    truncation_cuts_for_good,
    a_second_name_of_an_open_file_sees_its_writes,
    a_buffered_reader_sees_direct_writes,
    a_rename_replaces_and_open_files_follow,
    an_exchange_gives_two_files_each_others_names,
    a_renamed_folder_takes_its_files_along,
    a_removed_file_lives_on_while_open,
    folders_are_made_listed_and_removed,
    a_folder_with_something_in_it_is_not_removed,
    syncs_succeed_on_everything_there_is,
    names_of_operations_and_files_are_used_again,
    many_operations_in_flight_each_complete_once,
    rounds_complete_behind_a_crowd_of_background_writes,
    rounds_complete_behind_a_crowd_of_background_reads,
    a_large_write_arrives_whole,
}
