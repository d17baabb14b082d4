//! The plan of the house: which crates there are, whom each may use, and who alone may name what.

/// One crate of the workspace, and the crates of ours that it may depend on.
pub(crate) struct Room {
    /// The package's name.
    pub(crate) package: &'static str,
    /// Its folder from the root of the repository.
    pub(crate) folder: &'static str,
    pub(crate) may_use: &'static [&'static str],
}

/// Imports run one way: src → actors → data → protocol; agents, clients, loadtest → protocol.
pub(crate) const ROOMS: &[Room] = &[
    Room {
        package: "flightdeck",
        folder: ".",
        may_use: &["flightdeck-actors", "flightdeck-data", "flightdeck-protocol"],
    },
    Room { package: "flightdeck-actors", folder: "actors", may_use: &["flightdeck-data", "flightdeck-protocol"] },
    Room { package: "flightdeck-agents", folder: "agents", may_use: &["flightdeck-protocol"] },
    Room { package: "flightdeck-conformance", folder: "clients/conformance", may_use: &["flightdeck-protocol"] },
    Room { package: "flightdeck-data", folder: "data", may_use: &["flightdeck-protocol"] },
    Room { package: "flightdeck-loadtest", folder: "loadtest", may_use: &["flightdeck-protocol"] },
    Room { package: "flightdeck-protocol", folder: "protocol", may_use: &[] },
];

/// A package from outside that belongs to some rooms alone.
pub(crate) struct Reserved {
    /// Its name in a manifest; in source text each `-` is a `_`.
    pub(crate) package: &'static str,
    /// The packages of ours whose manifest may have it.
    pub(crate) manifests: &'static [&'static str],
    /// The places whose source may name it: a folder with everything in it (ends with `/`), or one file.
    pub(crate) places: &'static [&'static str],
}

/// Who alone may have what.
pub(crate) const RESERVED: &[Reserved] = &[
    Reserved { package: "sled", manifests: &["flightdeck-data"], places: &["data/src/store/", "data/src/store.rs"] },
    Reserved { package: "bincode", manifests: &["flightdeck-data"], places: &["data/"] },
    Reserved {
        package: "actix",
        manifests: &["flightdeck", "flightdeck-actors"],
        places: &["actors/", "src/", "tests/"],
    },
    Reserved {
        package: "actix-rt",
        manifests: &["flightdeck", "flightdeck-actors"],
        places: &["actors/", "src/", "tests/"],
    },
    Reserved { package: "actix-web", manifests: &["flightdeck"], places: &["src/"] },
    Reserved { package: "actix-web-actors", manifests: &["flightdeck"], places: &["src/edge/"] },
];

/// The one feature of the protocol crate that may bring a runtime along, for the client's side of a session.
pub(crate) const CLIENT_FEATURE: &str = "client";

/// What the protocol crate may have behind [`CLIENT_FEATURE`] alone, and name under [`CLIENT_FOLDER`] alone.
pub(crate) const CLIENT_PACKAGES: &[&str] = &["futures-util", "tokio", "tokio-tungstenite"];

/// Where the protocol crate keeps its client.
pub(crate) const CLIENT_FOLDER: &str = "protocol/src/client/";

/// The pure core: the fold of a mission's events, and nothing that could differ the second time.
pub(crate) const PURE_FOLDER: &str = "data/src/mission/";

/// Where a program speaks on its standard output or error, or a test explains itself.
pub(crate) const MAY_PRINT: &[&str] = &[
    "actors/src/agent/keeper.rs",
    "actors/src/live/list_proptests.rs",
    "agents/",
    "clients/conformance/",
    "loadtest/",
    "src/cli/",
    "src/main.rs",
    "src/serve.rs",
    "src/demo.rs",
    "tests/",
];

/// Is this file in one of the places (folders ending with `/`, or files)?
pub(crate) fn stands_in(file: &str, places: &[&str]) -> bool {
    places.iter().any(|place| if place.ends_with('/') { file.starts_with(place) } else { file == *place })
}

#[test]
fn a_place_is_a_folder_or_one_file() {
    assert!(stands_in("data/src/store/sled.rs", &["data/src/store/"]));
    assert!(!stands_in("data/src/storehouse.rs", &["data/src/store/", "data/src/store.rs"]));
    assert!(stands_in("src/main.rs", &["src/main.rs"]));
}
