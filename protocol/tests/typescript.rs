//! Keeps the types of clients/typescript what the operations table says. `UPDATE_DOCS=1 cargo test -p flightdeck-protocol --test typescript` rewrites them.

use std::{fs, path::Path};

use flightdeck_protocol::describe::typescript;

#[test]
fn the_types_of_the_typescript_client_say_what_the_table_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../clients/typescript/src/generated.ts");
    let wanted = typescript();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &wanted).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == wanted,
        "clients/typescript/src/generated.ts is stale; run UPDATE_DOCS=1 cargo test -p flightdeck-protocol --test typescript"
    );
}
