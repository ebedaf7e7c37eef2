//! Files and object stores: tables by file name, Matrix Market files, resolution of URIs.

mod atomic_write;
mod dynamic_tables;
mod matrix_market;
mod object_stores;

pub(crate) use atomic_write::AtomicWrite;
pub(crate) use dynamic_tables::{FileTableFactory, TableFormat, file_extension};
pub(crate) use matrix_market::{MatrixMarketFormatFactory, MatrixMarketTable};
pub(crate) use object_stores::{ObjectStoreResolver, object_store_message};
