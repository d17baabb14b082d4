//! Guards: parameters that every operation which changes something takes beside its own.

use std::{borrow::Cow, fmt};

use schemars::Schema;
use serde::{
    Deserialize,
    de::{DeserializeOwned, MapAccess, Visitor},
};
use serde_json::{json, value::RawValue};

use super::Descriptor;
use crate::fault::{Code, Fault};

/// Characters of `idem` at most.
pub const IDEM_CHARS: usize = 128;

/// A parameter that guards a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// `idem`: done once, however often it is asked for.
    Idem,
    /// `if_seq`: done only if nothing has happened in the mission since.
    IfSeq,
}

impl Guard {
    /// The parameter's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Idem => "idem",
            Self::IfSeq => "if_seq",
        }
    }

    fn schema(self) -> serde_json::Value {
        match self {
            Self::Idem => json!({
                "type": ["string", "null"], "minLength": 1, "maxLength": IDEM_CHARS,
                "description": "Your own name for this call, of 1 to 128 characters: repeated by the same person within 24 hours, and among the newest `limits.idem_calls`, it is not carried out again and gets the first answer.",
            }),
            Self::IfSeq => json!({
                "type": ["integer", "null"], "format": "uint64", "minimum": 0,
                "description": "The position up to which you know the mission: if anything has happened in it since, the call is refused with what did.",
            }),
        }
    }
}

/// What guards one call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guards {
    /// The caller's own name for the call.
    pub idem: Option<String>,
    /// The position after which nothing may have happened.
    pub if_seq: Option<u64>,
}

impl Guards {
    /// Takes the guards of a call of `descriptor`'s operation out of `params`, and gives the rest.
    ///
    /// # Errors
    /// When a guard is malformed.
    pub fn take<'a>(descriptor: &Descriptor, params: &'a str) -> Result<(Self, Cow<'a, str>), Fault> {
        let present = |guard: &Guard| params.contains(&format!("\"{}\"", guard.name()));
        let mut guards = Self::default();
        if !descriptor.guards.iter().any(present) {
            return Ok((guards, Cow::Borrowed(params)));
        }
        // What is no object the operation itself will refuse.
        let Ok(Members(members)) = serde_json::from_str::<Members<'_>>(params) else {
            return Ok((guards, Cow::Borrowed(params)));
        };
        let mut rest = String::with_capacity(params.len());
        for (name, value) in members {
            match descriptor.guards.iter().find(|guard| guard.name() == name) {
                Some(Guard::Idem) => once(&mut guards.idem, read(value, "idem")?, "idem")?,
                Some(Guard::IfSeq) => once(&mut guards.if_seq, read(value, "if_seq")?, "if_seq")?,
                None => {
                    rest.push(if rest.is_empty() { '{' } else { ',' });
                    rest.push_str(&serde_json::Value::from(&*name).to_string());
                    rest.push(':');
                    rest.push_str(value.get());
                }
            }
        }
        rest.push_str(if rest.is_empty() { "{}" } else { "}" });
        guards.check()?;
        Ok((guards, Cow::Owned(rest)))
    }

    fn check(&self) -> Result<(), Fault> {
        let Some(idem) = &self.idem else { return Ok(()) };
        let length = idem.chars().count();
        if !(1..=IDEM_CHARS).contains(&length) || idem.chars().any(char::is_control) {
            let message = format!("idem is your name for the call: 1 to {IDEM_CHARS} characters, none of them control");
            return Err(Fault::invalid("idem", message));
        }
        Ok(())
    }
}

/// Adds the guards of an operation to the schema of its own parameters.
pub(super) fn with_guards(mut schema: Schema, guards: &[Guard]) -> Schema {
    if let Some(object) = schema.as_object_mut().filter(|_| !guards.is_empty()) {
        let properties = object.entry("properties").or_insert_with(|| json!({}));
        if let Some(properties) = properties.as_object_mut() {
            for guard in guards {
                properties.insert(guard.name().to_owned(), guard.schema());
            }
        }
    }
    schema
}

fn read<T: DeserializeOwned>(value: &RawValue, name: &str) -> Result<Option<T>, Fault> {
    let wrong = |error| Fault::new(Code::InvalidParams, format!("{name} cannot be read: {error}")).on(name);
    serde_json::from_str(value.get()).map_err(wrong)
}

fn once<T>(slot: &mut Option<T>, value: Option<T>, name: &str) -> Result<(), Fault> {
    if slot.is_some() {
        return Err(Fault::new(Code::InvalidParams, format!("{name} is given twice; give it once")).on(name));
    }
    *slot = value;
    Ok(())
}

/// The members of a JSON object, in order and each as it stands.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry::<Name<'de>, &'de RawValue>()? {
                    members.push((member.0.0, member.1));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations::find;

    fn take(method: &str, params: &str) -> Result<(Guards, String), Code> {
        let taken = Guards::take(find(method).unwrap(), params);
        taken.map(|(guards, rest)| (guards, rest.into_owned())).map_err(|fault| fault.code)
    }

    #[test]
    fn guards_are_taken_out_and_the_rest_stays_as_it_is() {
        let (guards, rest) =
            take("step.add", r#"{"mission":"a", "idem":"x", "if_seq":7, "title":"say \"idem\""}"#).unwrap();
        assert_eq!(guards, Guards { idem: Some("x".to_owned()), if_seq: Some(7) });
        assert_eq!(rest, r#"{"mission":"a","title":"say \"idem\""}"#);
        assert_eq!(take("step.add", r#"{"idem":"x"}"#).unwrap().1, "{}");
        assert_eq!(take("step.add", r#"{"idem":null,"if_seq":null}"#).unwrap().0, Guards::default());
        assert_eq!(take("mission.get", r#"{"idem":"x"}"#).unwrap().1, r#"{"idem":"x"}"#, "reading takes none");
    }

    #[test]
    fn malformed_guards_are_refused() {
        for params in [r#"{"idem":7}"#, r#"{"if_seq":-1}"#, r#"{"if_seq":1e30}"#, r#"{"if_seq":"7"}"#] {
            assert_eq!(take("step.add", params), Err(Code::InvalidParams), "{params}");
        }
        assert_eq!(take("step.add", r#"{"idem":"a","idem":"b"}"#), Err(Code::InvalidParams));
        assert_eq!(take("step.add", r#"{"idem":""}"#), Err(Code::InvalidValue));
        assert_eq!(take("step.add", &format!(r#"{{"idem":"{}"}}"#, "x".repeat(129))), Err(Code::InvalidValue));
    }

    #[test]
    fn whatever_changes_a_mission_can_be_guarded() {
        for (method, guards) in
            [("mission.create", &[Guard::Idem][..]), ("step.add", &[Guard::Idem, Guard::IfSeq]), ("mission.list", &[])]
        {
            assert_eq!(find(method).unwrap().guards, guards, "{method}");
        }
    }
}
