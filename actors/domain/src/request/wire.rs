//! Reading requests as senders write them.
//!
//! Producers differ: some write `null` for an absent field, numbers for ids, `5000.0` for an integer, a byte order mark, or the five bytes
//! with which Confluent's serialisers frame a value. All of these are accepted. Of a request that cannot be read as a whole, [`salvage`]
//! reads what its answer needs.

use std::{borrow::Cow, collections::HashSet, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{
        self, DeserializeSeed, IgnoredAny, IntoDeserializer, MapAccess, SeqAccess, Visitor,
        value::MapAccessDeserializer,
    },
};

use super::TranslationRequest;

/// UTF-8's byte order mark.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// Length of Confluent's framing: a zero byte and four bytes of schema id.
const FRAME: usize = 5;
/// Length of an escaped code unit: `\u` and four digits.
const ESCAPE: usize = 6;

/// The JSON in a record's value: without Confluent's framing and without a byte order mark.
pub(super) fn json(bytes: &[u8]) -> &[u8] {
    let unframed = match bytes {
        [0, rest @ ..] if rest.len() >= FRAME => {
            let value = &bytes[FRAME..];
            let value = value.strip_prefix(BYTE_ORDER_MARK).unwrap_or(value);
            match value.trim_ascii_start().first() {
                Some(b'{') => value,
                _ => bytes,
            }
        }
        _ => bytes,
    };
    unframed.strip_prefix(BYTE_ORDER_MARK).unwrap_or(unframed)
}

/// Refuses JSON that is not an object: serde would read a list as a request, by position.
pub(super) fn check_is_object(json: &[u8]) -> Result<(), serde_json::Error> {
    if json.trim_ascii_start().first() == Some(&b'{') {
        return Ok(());
    }
    serde_json::from_slice::<IgnoredAny>(json)?;
    Err(de::Error::custom("a request is a JSON object"))
}

/// Decodes JSON; where a parser refuses an escaped half of a surrogate pair, with U+FFFD in its place.
///
/// # Errors
/// Those of `decode`.
pub fn decoded_leniently<T>(
    json: &[u8],
    decode: impl Fn(&[u8]) -> Result<T, serde_json::Error>,
) -> Result<T, serde_json::Error> {
    match decode(json) {
        Err(error) if error.is_syntax() => {
            without_lone_surrogates(json).map_or(Err(error), |json| decode(&json))
        }
        decoded => decoded,
    }
}

/// The JSON with U+FFFD in the place of every escaped half of a surrogate pair, as browsers decode it; `None` where there is none.
/// `JSON.stringify` writes them for an emoji that was cut.
fn without_lone_surrogates(json: &[u8]) -> Option<Vec<u8>> {
    let mut replaced: Option<Vec<u8>> = None;
    let mut at = 0;
    while let Some(found) = json[at..].iter().position(|byte| *byte == b'\\') {
        let start = at + found;
        at = match escaped(&json[start..]) {
            Some(0xd800..=0xdbff) if is_low(&json[start + ESCAPE..]) => start + 2 * ESCAPE,
            Some(0xd800..=0xdfff) => {
                let copy = replaced.get_or_insert_with(|| json.to_vec());
                copy[start..start + ESCAPE].copy_from_slice(br"\ufffd");
                start + ESCAPE
            }
            Some(_) => start + ESCAPE,
            // A backslash and what it escapes.
            None => (start + 2).min(json.len()),
        };
    }
    replaced
}

/// The code unit that a text begins with, if it begins with such an escape.
fn escaped(json: &[u8]) -> Option<u16> {
    let digits = json.strip_prefix(br"\u")?.get(..4)?;
    let mut digits = digits.iter().map(|digit| char::from(*digit).to_digit(16));
    let unit = digits.try_fold(0, |unit, digit| Some(unit * 16 + digit?))?;
    u16::try_from(unit).ok()
}

fn is_low(json: &[u8]) -> bool {
    matches!(escaped(json), Some(0xdc00..=0xdfff))
}

/// Reads a field for which `null` means absent.
pub(crate) fn present<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// Reads a language tag; absent means `auto`.
pub(super) fn tag_or_auto<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_else(super::auto))
}

/// Reads the name of a value. Where there is anything but a name, serde_json by itself would call it bad JSON and not a bad request.
pub(super) fn name<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(optional_name(from)?.unwrap_or_default())
}

/// The same where it may be absent.
pub(super) fn optional_name<'de, D, T>(from: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let name = Option::<String>::deserialize(from)?;
    name.map(|name| T::deserialize(name.into_deserializer()))
        .transpose()
}

/// Reads an object that may be absent. serde would read a list as one, by position.
pub(super) fn optional_object<'de, D, T>(from: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let object = Option::<Object<T>>::deserialize(from)?;
    Ok(object.map(|object| object.0))
}

/// Reads a list of objects that may be absent.
pub(super) fn objects<'de, D, T>(from: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let objects = Option::<Vec<Object<T>>>::deserialize(from)?.unwrap_or_default();
    Ok(objects.into_iter().map(|object| object.0).collect())
}

struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(ObjectVisitor(PhantomData))
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Object)
    }
}

/// The error for a value that is not an id.
const NO_ID: &str = "an id must be a string or a number";
/// The error for a number that would lose digits if it were read.
const INEXACT_ID: &str = "an id that is a number must be a whole number of at most 64 bits or have at most 15 digits: write it as a string";
/// So many digits of any number are the same after it was read and written.
const EXACT_DIGITS: usize = 15;

/// Reads an id: a string, or a number.
pub(super) fn id<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    optional_id(from)?.ok_or_else(|| de::Error::custom(NO_ID))
}

/// The same where it may be absent.
pub(super) fn optional_id<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    match Scalar::deserialize(from)? {
        Scalar::Absent => Ok(None),
        scalar @ Scalar::Float(_) => scalar
            .into_id()
            .map(Some)
            .ok_or_else(|| de::Error::custom(INEXACT_ID)),
        scalar => scalar
            .into_id()
            .map(Some)
            .ok_or_else(|| de::Error::custom(NO_ID)),
    }
}

/// Reads a whole number of milliseconds, also where it is written as `5000.0`.
pub(super) fn optional_millis<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    let wrong =
        || de::Error::custom("deadlineMs must be a whole number of milliseconds, 0 or more");
    match Scalar::deserialize(from)? {
        Scalar::Absent => Ok(None),
        Scalar::Unsigned(millis) => Ok(Some(millis)),
        Scalar::Float(millis) => whole(millis).map(Some).ok_or_else(wrong),
        _ => Err(wrong()),
    }
}

/// Reads a number of alternatives. One that is too large for any is kept as too large.
pub(super) fn alternatives<'de, D: Deserializer<'de>>(from: D) -> Result<u8, D::Error> {
    let wrong = || de::Error::custom("alternatives must be a whole number, 0 or more");
    let number = match Scalar::deserialize(from)? {
        Scalar::Absent => 0,
        Scalar::Unsigned(number) => number,
        Scalar::Float(number) => whole(number).ok_or_else(wrong)?,
        _ => return Err(wrong()),
    };
    Ok(u8::try_from(number).unwrap_or(u8::MAX))
}

/// A float that is a whole number and not negative. Above 2^53 floats skip integers, so these are refused.
fn whole(number: f64) -> Option<u64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    (number.fract() == 0.0 && (0.0..=EXACT).contains(&number)).then_some(number as u64)
}

/// A number in decimal digits, without an exponent, if it has no more of them than are exact.
fn exact(number: f64) -> Option<String> {
    if let Some(whole) = whole(number) {
        return Some(whole.to_string());
    }
    let text = number.to_string();
    let digits = text.trim_start_matches(['-', '0', '.']);
    let digits = digits.bytes().filter(u8::is_ascii_digit).count();
    (number.is_finite() && digits <= EXACT_DIGITS).then_some(text)
}

/// Any JSON value, as far as ids and targets need it.
#[derive(Debug)]
enum Scalar<'de> {
    Absent,
    Text(Cow<'de, str>),
    Unsigned(u64),
    Negative(i64),
    Float(f64),
    Other,
}

impl Scalar<'_> {
    fn into_text(self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text.into_owned()),
            _ => None,
        }
    }

    fn into_id(self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text.into_owned()),
            Self::Unsigned(number) => Some(number.to_string()),
            Self::Negative(number) => Some(number.to_string()),
            Self::Float(number) => exact(number),
            Self::Absent | Self::Other => None,
        }
    }
}

impl<'de> Deserialize<'de> for Scalar<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Scalar<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Scalar::Absent)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Scalar::Other)
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Scalar::Unsigned(number))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(u64::try_from(number).map_or(Scalar::Negative(number), Scalar::Unsigned))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Scalar::Float(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Borrowed(text)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other)
    }
}

/// Reads the tags of a list, or the one that stands in its place, each spelling once. One more than `most` says that there are too many.
#[derive(Clone, Copy)]
struct Targets {
    most: usize,
}

impl<'de> DeserializeSeed<'de> for Targets {
    type Value = Vec<String>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Targets {
    type Value = Vec<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("language tags")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Vec::new())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Vec::new())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Vec::new())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Vec::new())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Vec::new())
    }

    fn visit_str<E>(self, tag: &str) -> Result<Self::Value, E> {
        Ok(vec![tag.to_owned()])
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut seen = HashSet::new();
        let mut tags = Vec::new();
        while let Some(element) = list.next_element::<Scalar<'_>>()? {
            if let Scalar::Text(tag) = element
                && tags.len() <= self.most
                && !seen.contains(&*tag)
            {
                seen.insert(tag.clone().into_owned());
                tags.push(tag.into_owned());
            }
        }
        Ok(tags)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Vec::new())
    }
}

/// Salvages parts of an invalid request: its ids and its languages, up to the first byte that is not valid JSON.
/// Nothing without a message id. The text stays empty. Takes linear time and builds nothing but ids and at most one
/// more than `most_targets` targets.
pub(super) fn salvage(bytes: &[u8], most_targets: usize) -> Option<TranslationRequest> {
    let mut found = Found::default();
    let json = json(bytes);
    let replaced = without_lone_surrogates(json);
    let mut from = serde_json::Deserializer::from_slice(replaced.as_deref().unwrap_or(json));
    let targets = Targets { most: most_targets };
    let into = &mut found;
    // An error ends the reading; what was found before it counts.
    let _ = Salvage { into, targets }.deserialize(&mut from);
    let message_id = found.message_id.filter(|id| !id.is_empty())?;
    Some(TranslationRequest {
        task_id: found.task_id,
        conversation_id: found.conversation_id,
        target_languages: found.targets,
        target_language: found.target,
        source_language: found.source.unwrap_or_else(super::auto),
        ..TranslationRequest::new(message_id, "", "")
    })
}

#[derive(Default)]
struct Found {
    message_id: Option<String>,
    task_id: Option<String>,
    conversation_id: Option<String>,
    targets: Vec<String>,
    target: Option<String>,
    source: Option<String>,
}

struct Salvage<'f> {
    into: &'f mut Found,
    targets: Targets,
}

impl<'de> DeserializeSeed<'de> for Salvage<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Salvage<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a request")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let found = self.into;
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "messageId" => found.message_id = map.next_value::<Scalar<'_>>()?.into_id(),
                "taskId" => found.task_id = map.next_value::<Scalar<'_>>()?.into_id(),
                "conversationId" => {
                    found.conversation_id = map.next_value::<Scalar<'_>>()?.into_id();
                }
                "sourceLanguage" => found.source = map.next_value::<Scalar<'_>>()?.into_text(),
                "targetLanguage" => found.target = map.next_value::<Scalar<'_>>()?.into_id(),
                "targetLanguages" => found.targets = map.next_value_seed(self.targets)?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
