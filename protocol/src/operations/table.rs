//! How an operation is declared: the macro that turns declarations into types, dispatch and a table.

use schemars::Schema;
use serde::{Serialize, de::DeserializeOwned};

use super::guards::Guard;
use crate::{
    fault::{Code, Fault},
    model::Role,
};

/// An operation: what it is called, what it takes and what it gives.
pub trait Operation {
    /// The method's name, such as `mission.create`.
    const METHOD: &'static str;
    /// The parameters, by name.
    type Params: DeserializeOwned + Serialize + Send + Sync + 'static;
    /// The answer.
    type Result: Serialize + DeserializeOwned + Send + 'static;
}

/// Who may call an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Anyone, signed in or not.
    Anyone,
    /// Everyone who is signed in.
    SignedIn,
    /// Those whose role is listed.
    Roles(&'static [Role]),
}

impl Who {
    /// Whether a person of `role` is among them; `None` is somebody who is not signed in.
    pub fn includes(self, role: Option<Role>) -> bool {
        match (self, role) {
            (Self::Anyone, _) => true,
            (Self::SignedIn, role) => role.is_some(),
            (Self::Roles(roles), Some(role)) => roles.contains(&role),
            (Self::Roles(_), None) => false,
        }
    }
}

/// How an operation can be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// Over a socket, `POST /api/rpc`, and REST where it has a route.
    Any,
    /// Over a socket alone: it is about the session.
    Socket,
    /// By its REST route alone: the answer is bytes and not JSON.
    Download,
}

/// What becomes of an operation that a session asks for while the server stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhileStopping {
    /// It is refused with `server_restarting`.
    Refused,
    /// It is carried out: it gives something back, or keeps the session up to its goodbye.
    Allowed,
}

/// The method of an HTTP request (RFC 9110).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    /// GET, and HEAD with it.
    Get,
    /// POST.
    Post,
    /// PUT; changes the fields that are present, as PATCH does.
    Put,
    /// PATCH.
    Patch,
    /// DELETE.
    Delete,
}

impl Verb {
    /// The method's name, in capitals.
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// A REST route of an operation.
///
/// Parameters in braces in the path, those of the query and those of the JSON
/// body are put together into the operation's parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The HTTP method.
    pub verb: Verb,
    /// The path, with the names of parameters in braces.
    pub path: &'static str,
    /// The HTTP status of success.
    pub status: u16,
}

/// An operation as a row of the table.
pub struct Descriptor {
    /// The method's name.
    pub method: &'static str,
    /// What it does, in a sentence or two.
    pub doc: &'static str,
    /// Who may call it.
    pub who: Who,
    /// How it can be called.
    pub over: Over,
    /// Its REST routes.
    pub rest: &'static [Route],
    /// What it can be refused with, beyond what every operation can.
    pub faults: &'static [Code],
    /// What it takes beside its own parameters.
    pub guards: &'static [Guard],
    /// What becomes of it while the server stops.
    pub while_stopping: WhileStopping,
    /// The JSON schema of its parameters, guards included.
    pub params: fn() -> Schema,
    /// The JSON schema of its answer.
    pub result: fn() -> Schema,
}

impl Descriptor {
    /// Whether it changes nothing, so that it can be asked again without harm: it is there by GET (RFC 9110, section 9.2.1).
    pub fn reads(&self) -> bool {
        self.rest.iter().any(|route| route.verb == Verb::Get)
    }
}

/// Reads the parameters of a call of `method`.
///
/// # Errors
/// When one is missing, unknown or of the wrong type; `field` says which, where it is known.
pub(super) fn read_params<T: DeserializeOwned>(method: &str, params: &str) -> Result<T, Fault> {
    let mut reader = serde_json::Deserializer::from_str(params);
    let wrong = |message: String, field: &str| {
        // The place counts in what is left of the frame, which nobody has seen.
        let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message);
        let fault = Fault::new(Code::InvalidParams, format!("the parameters do not fit {method}: {message}"));
        if field == "." { fault } else { fault.on(field) }
    };
    let read = serde_path_to_error::deserialize(&mut reader)
        .map_err(|error| wrong(error.inner().to_string(), &error.path().to_string()))?;
    reader.end().map_err(|error| wrong(error.to_string(), "."))?;
    Ok(read)
}

macro_rules! operations {
    ($(
        $(#[doc = $doc:literal])+
        $name:ident($params:ty) -> $result:ty {
            method: $method:literal,
            who: $who:expr,
            over: $over:ident,
            rest: [$($verb:ident $path:literal => $status:literal),*],
            faults: [$($fault:ident),*],
            $(guards: [$($guard:ident),*],)?
            $(while_stopping: $stopping:ident,)?
        }
    )+) => {
        $(
            $(#[doc = $doc])+
            #[derive(Clone, Copy, Debug)]
            pub struct $name;

            impl Operation for $name {
                const METHOD: &'static str = $method;
                type Params = $params;
                type Result = $result;
            }
        )+

        /// A call of an operation, with its parameters read.
        #[derive(Clone, Debug)]
        pub enum Call {
            $($(#[doc = $doc])+ $name($params),)+
        }

        impl Call {
            /// Reads the own parameters of `descriptor`'s operation from JSON; guards were taken out before.
            ///
            /// # Errors
            /// When a parameter is missing, unknown or of the wrong type; `field` says which.
            pub fn read(descriptor: &Descriptor, params: &str) -> Result<Self, $crate::Fault> {
                match descriptor.method {
                    $($method => table::read_params::<$params>($method, params).map(Self::$name),)+
                    other => Err($crate::Fault::new(Code::MethodNotFound, format!("{other} is not in the table"))),
                }
            }

            /// The parameters as JSON: the same for the same call, however it was written.
            ///
            /// # Errors
            /// What serde says when they cannot be written.
            pub fn params_json(&self) -> Result<String, serde_json::Error> {
                match self {
                    $(Self::$name(params) => serde_json::to_string(params),)+
                }
            }
        }

        /// Every operation, in the order of declaration.
        pub static TABLE: &[Descriptor] = &[
            $(Descriptor {
                method: $method,
                doc: concat!($($doc),+).trim_ascii(),
                who: $who,
                over: Over::$over,
                rest: &[$(Route { verb: Verb::$verb, path: $path, status: $status }),*],
                faults: &[$(Code::$fault),*],
                guards: &[$($(Guard::$guard),*)?],
                while_stopping: [$(WhileStopping::$stopping,)? WhileStopping::Refused][0],
                params: || with_guards(schemars::schema_for!($params), &[$($(Guard::$guard),*)?]),
                result: || schemars::schema_for!($result),
            },)+
        ];
    };
}

pub(super) use operations;
