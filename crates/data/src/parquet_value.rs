//! Parquet values as JSON.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc};
use parquet::basic::{ConvertedType, LogicalType, TimeUnit};
use parquet::record::{Field, List, Map, Row};
use parquet::schema::types::Type;
use promptopt_core::lm::data_url;
use serde_json::{Number, Value};

use crate::files::media_type;

/// A column inside a row whose values have no JSON form.
pub(crate) struct Binary {
    /// Its path, as `image.bytes`.
    pub(crate) path: String,
    /// What it holds.
    pub(crate) found: &'static str,
}

impl Binary {
    fn within(mut self, name: &str) -> Self {
        self.path = if self.path.is_empty() { name.to_owned() } else { format!("{name}.{}", self.path) };
        self
    }
}

/// A value as JSON. `kind` is its type in the schema, where that is known. Bytes are base64 where a field can take them.
pub(crate) fn value(field: &Field, kind: Option<&Type>, takes_bytes: bool) -> Result<Value, Binary> {
    Ok(match field {
        Field::Null => Value::Null,
        Field::Bool(value) => Value::from(*value),
        Field::Byte(value) => Value::from(*value),
        Field::Short(value) => Value::from(*value),
        Field::Int(value) => Value::from(*value),
        Field::Long(value) => long(*value, kind),
        Field::UByte(value) => Value::from(*value),
        Field::UShort(value) => Value::from(*value),
        Field::UInt(value) => Value::from(*value),
        Field::ULong(value) => Value::from(*value),
        Field::Float16(value) => float(f64::from(*value)),
        Field::Float(value) => short_float(*value),
        Field::Double(value) => float(*value),
        Field::Str(text) => Value::from(text.as_str()),
        Field::Date(days) => date(*days),
        Field::TimeMillis(millis) => time(i64::from(*millis), 1_000_000),
        Field::TimeMicros(micros) => time(*micros, 1_000),
        Field::TimestampMillis(millis) => {
            timestamp(DateTime::from_timestamp_millis(*millis), millis.to_string(), is_utc(kind))
        }
        Field::TimestampMicros(micros) => {
            timestamp(DateTime::from_timestamp_micros(*micros), micros.to_string(), is_utc(kind))
        }
        Field::Decimal(_) => Value::from(field.to_string()),
        Field::Bytes(bytes) if takes_bytes => {
            let media_type = media_type(bytes.data()).unwrap_or("application/octet-stream");
            Value::from(data_url(media_type, bytes.data()))
        }
        Field::Bytes(_) => return Err(Binary { path: String::new(), found: "bytes" }),
        Field::Group(row) => group(row, kind, takes_bytes)?,
        Field::ListInternal(items) => list(items, kind, takes_bytes)?,
        Field::MapInternal(entries) => map(entries, kind, takes_bytes)?,
    })
}

fn group(row: &Row, kind: Option<&Type>, takes_bytes: bool) -> Result<Value, Binary> {
    let members = row.get_column_iter().map(|(name, field)| {
        let kind = kind.and_then(|kind| member(kind, name));
        let value = value(field, kind, takes_bytes).map_err(|binary| binary.within(name))?;
        Ok((name.clone(), value))
    });
    members.collect::<Result<_, _>>().map(Value::Object)
}

fn list(items: &List, kind: Option<&Type>, takes_bytes: bool) -> Result<Value, Binary> {
    let kind = kind.and_then(element);
    items
        .elements()
        .iter()
        .map(|item| value(item, kind, takes_bytes))
        .collect::<Result<_, _>>()
        .map(Value::Array)
}

/// A map is an object; a key that is no text is written as JSON.
fn map(entries: &Map, kind: Option<&Type>, takes_bytes: bool) -> Result<Value, Binary> {
    let entry = kind.filter(|kind| kind.is_group()).and_then(|kind| kind.get_fields().first());
    let kind_of = |index: usize| {
        let entry = entry.filter(|entry| entry.is_group())?;
        entry.get_fields().get(index).map(|kind| &**kind)
    };
    let pairs = entries.entries().iter().map(|(key, item)| {
        let key = match value(key, kind_of(0), takes_bytes)? {
            Value::String(key) => key,
            other => other.to_string(),
        };
        let item = value(item, kind_of(1), takes_bytes).map_err(|binary| binary.within(&key))?;
        Ok((key, item))
    });
    pairs.collect::<Result<_, _>>().map(Value::Object)
}

/// The type of the field `name` of a struct.
pub(crate) fn member<'k>(kind: &'k Type, name: &str) -> Option<&'k Type> {
    if !kind.is_group() {
        return None;
    }
    kind.get_fields().iter().find(|field| field.name() == name).map(|field| &**field)
}

/// The type of the items of a list, in the shapes that writers give it.
fn element(kind: &Type) -> Option<&Type> {
    if kind.is_primitive() || kind.get_basic_info().converted_type() != ConvertedType::LIST {
        // A repeated field without a list around it.
        return Some(kind);
    }
    let repeated = kind.get_fields().first()?;
    match repeated.is_group().then(|| repeated.get_fields()) {
        Some([item]) if repeated.name() != "array" && !repeated.name().ends_with("_tuple") => Some(item),
        _ => Some(repeated),
    }
}

/// A number that is not finite has no JSON form, and is taken as a missing one.
fn float(value: f64) -> Value {
    Number::from_f64(value).map_or(Value::Null, Value::Number)
}

/// The shortest decimal that is this 32-bit number, as it was before it became binary.
fn short_float(value: f32) -> Value {
    float(value.to_string().parse().unwrap_or(f64::from(value)))
}

fn long(value: i64, kind: Option<&Type>) -> Value {
    match kind.and_then(|kind| kind.get_basic_info().logical_type_ref()) {
        Some(LogicalType::Timestamp(stamp)) if stamp.unit == TimeUnit::NANOS => {
            timestamp(Some(DateTime::from_timestamp_nanos(value)), value.to_string(), is_utc(kind))
        }
        Some(LogicalType::Time(of_day)) if of_day.unit == TimeUnit::NANOS => time(value, 1),
        _ => Value::from(value),
    }
}

/// Whether a timestamp is a point in time; else it is what a clock on the wall showed.
fn is_utc(kind: Option<&Type>) -> bool {
    match kind.and_then(|kind| kind.get_basic_info().logical_type_ref()) {
        Some(LogicalType::Timestamp(stamp)) => stamp.is_adjusted_to_u_t_c,
        _ => true,
    }
}

/// RFC 3339, without a zone where it has none; the number itself where the calendar ends.
fn timestamp(moment: Option<DateTime<Utc>>, number: String, is_utc: bool) -> Value {
    let Some(moment) = moment else { return Value::from(number) };
    let local: NaiveDateTime = moment.naive_utc();
    Value::from(if is_utc { format!("{local:?}Z") } else { format!("{local:?}") })
}

fn date(days: i32) -> Value {
    let date = NaiveDate::from_ymd_opt(1970, 1, 1)
        .and_then(|epoch| epoch.checked_add_signed(TimeDelta::days(i64::from(days))));
    Value::from(date.map_or_else(|| days.to_string(), |date| date.to_string()))
}

/// A time of day that counts units of so many nanoseconds since midnight.
fn time(count: i64, nanos: i64) -> Value {
    let since_midnight = count.checked_mul(nanos).map(|total| (total / 1_000_000_000, total % 1_000_000_000));
    let time = since_midnight.and_then(|(seconds, rest)| {
        NaiveTime::from_num_seconds_from_midnight_opt(seconds.try_into().ok()?, rest.try_into().ok()?)
    });
    Value::from(time.map_or_else(|| count.to_string(), |time| time.to_string()))
}
