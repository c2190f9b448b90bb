//! The leaf modules of the log through their public face.

mod checkpoint;
mod epochs;
mod files;
mod index;
mod producers;
