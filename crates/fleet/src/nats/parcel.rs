//! Messages as they travel: compressed, and those that are too large for one through the object store.

use std::io::Cursor;
use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::context::CreateObjectStoreError;
use async_nats::jetstream::object_store::{Config, ObjectStore};
use async_nats::jetstream::stream::StorageType;
use bytes::{BufMut as _, Bytes, BytesMut};
use tokio::io::AsyncReadExt as _;

use crate::Error;

/// Shorter messages are not compressed.
const SHORT: usize = 2048;
/// The largest message, in bytes.
const LARGEST: usize = 256 * 1024 * 1024;
/// What a message takes besides its payload: subject and headers.
const HEAD: usize = 4096;
/// What nobody fetched is thrown away after so long.
const KEPT: Duration = Duration::from_secs(3600);

const PLAIN: u8 = 0;
const COMPRESSED: u8 = 1;
const STORED: u8 = 2;

pub(super) struct Parcels {
    jetstream: Context,
    bucket: String,
    largest: usize,
}

impl Parcels {
    pub(super) fn new(jetstream: Context, prefix: &str, max_payload: usize) -> Self {
        Self {
            jetstream,
            bucket: format!("{prefix}_large"),
            largest: max_payload.saturating_sub(HEAD).max(1024),
        }
    }

    /// A message as it is sent.
    pub(super) async fn pack(&self, message: &[u8]) -> Result<Bytes, Error> {
        let parcel = packed(message);
        if parcel.len() <= self.largest {
            return Ok(parcel);
        }
        let mut bytes = [0_u8; 16];
        getrandom::fill(&mut bytes).map_err(wrong)?;
        let name: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        self.store().await?.put(name.as_str(), &mut Cursor::new(parcel)).await.map_err(wrong)?;
        let mut parcel = BytesMut::with_capacity(1 + name.len());
        parcel.put_u8(STORED);
        parcel.put_slice(name.as_bytes());
        Ok(parcel.freeze())
    }

    /// The message in what was sent.
    pub(super) async fn unpack(&self, parcel: &Bytes) -> Result<Bytes, Error> {
        let Some((&STORED, name)) = parcel.split_first() else { return unpacked(parcel) };
        let name = std::str::from_utf8(name).map_err(wrong)?;
        let store = self.store().await?;
        let object = store.get(name).await.map_err(wrong)?;
        let mut parcel = Vec::new();
        object.take(LARGEST as u64).read_to_end(&mut parcel).await.map_err(wrong)?;
        // It is thrown away anyway, when it is old.
        let _ = store.delete(name).await;
        unpacked(&Bytes::from(parcel))
    }

    /// Makes the store where it is not there.
    pub(super) async fn make(&self) -> Result<(), CreateObjectStoreError> {
        if self.store().await.is_ok() {
            return Ok(());
        }
        let config = Config {
            bucket: self.bucket.clone(),
            max_age: KEPT,
            storage: StorageType::Memory,
            ..Config::default()
        };
        self.jetstream.create_object_store(config).await.map(drop)
    }

    async fn store(&self) -> Result<ObjectStore, Error> {
        self.jetstream.get_object_store(&self.bucket).await.map_err(wrong)
    }
}

fn packed(message: &[u8]) -> Bytes {
    let mut parcel = BytesMut::new();
    if message.len() < SHORT {
        parcel.put_u8(PLAIN);
        parcel.put_slice(message);
    } else {
        parcel.put_u8(COMPRESSED);
        parcel.put_slice(&lz4_flex::compress_prepend_size(message));
    }
    parcel.freeze()
}

fn unpacked(parcel: &Bytes) -> Result<Bytes, Error> {
    match parcel.split_first() {
        Some((&PLAIN, _)) => Ok(parcel.slice(1..)),
        Some((&COMPRESSED, rest)) => {
            let (size, rest) = lz4_flex::block::uncompressed_size(rest).map_err(wrong)?;
            if size > LARGEST {
                return Err(Error::Message(format!("it has {size} bytes, more than {LARGEST}")));
            }
            lz4_flex::decompress(rest, size).map(Bytes::from).map_err(wrong)
        }
        _ => Err(Error::Message("it is packed in an unknown way".to_owned())),
    }
}

fn wrong(error: impl std::fmt::Display) -> Error {
    Error::Message(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_back_as_they_were() {
        for message in [Vec::new(), vec![7; 10], vec![7; 100_000], (0..=255).cycle().take(5000).collect()] {
            let parcel = packed(&message);
            assert!(parcel.len() <= message.len() + message.len() / 100 + 32);
            assert_eq!(unpacked(&parcel).unwrap(), message);
        }
        for broken in [&[][..], &[9, 1], &[1, 255, 255, 255, 255, 0], &[1, 4, 0, 0, 0]] {
            assert!(unpacked(&Bytes::copy_from_slice(broken)).is_err(), "{broken:?}");
        }
    }
}
