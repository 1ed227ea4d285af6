//! Values that may be a table or, for short, something smaller.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// What a text alone can stand for.
pub(super) trait FromName: Sized {
    /// What a text may be, for messages.
    const EXPECTED: &'static str;

    /// Reads the text.
    ///
    /// # Errors
    ///
    /// A text that says what is wrong.
    fn from_name(name: &str) -> Result<Self, String>;
}

/// Reads a text or a table.
pub(super) fn name_or_table<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromName + Deserialize<'de>,
{
    struct Both<T>(PhantomData<T>);

    impl<'de, T: FromName + Deserialize<'de>> Visitor<'de> for Both<T> {
        type Value = T;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(formatter, "{} or a table", T::EXPECTED)
        }

        fn visit_str<E: Error>(self, name: &str) -> Result<T, E> {
            T::from_name(name).map_err(E::custom)
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
            T::deserialize(MapAccessDeserializer::new(map))
        }
    }

    deserializer.deserialize_any(Both(PhantomData))
}

/// [`name_or_table`] where the value may be missing.
pub(super) fn maybe_name_or_table<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromName + Deserialize<'de>,
{
    name_or_table(deserializer).map(Some)
}

/// Reads one table, or a list of them.
pub(super) fn one_or_many<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct OneOrMany<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for OneOrMany<T> {
        type Value = Vec<T>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("a table, or a list of tables")
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Vec<T>, A::Error> {
            Ok(vec![T::deserialize(MapAccessDeserializer::new(map))?])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Vec<T>, A::Error> {
            Vec::deserialize(SeqAccessDeserializer::new(seq))
        }
    }

    deserializer.deserialize_any(OneOrMany(PhantomData))
}
