//! The protocol described for programs: shared schemas, the OpenRPC document, and the TypeScript of the client.
//!
//! Everything here is read from the operations table and the shapes; nothing is
//! written twice. The server serves what [`openrpc`] gives, a test of this crate
//! keeps what [`typescript`] gives in `clients/typescript/src/generated.ts`.

mod notifications;
mod openrpc;
mod shapes;
mod typescript;

pub use notifications::{Announced, NOTIFICATIONS};
pub use openrpc::openrpc;
pub use shapes::Shapes;
pub use typescript::typescript;
