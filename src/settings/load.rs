//! Putting the settings together from their layers.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
};

use clap::{ArgMatches, parser::ValueSource};
use figment::{
    Figment, Metadata, Profile, Provider,
    providers::{Format, Serialized, Toml},
    value::{Dict, Map, Value},
};

use super::{
    Settings, SettingsError, agents,
    flags::{kebab, variable},
    table::TABLE,
};

/// The file that is read when none is named.
const USUAL_FILE: &str = "flightdeck.toml";
/// Variables that begin like ours and are for the client, or say where the file is.
const OTHERS: [&str; 6] = ["SERVER", "USER", "PASSWORD", "TOKEN", "CREDENTIALS", "CONFIG"];

/// Where settings come from.
struct Sources {
    /// What holds where nothing is said.
    defaults: Settings,
    /// What the flags say, by the name of the setting.
    flags: Vec<(String, String)>,
    /// What `--agent` says.
    agents: Vec<String>,
    /// The file, if it is named or there.
    file: Option<PathBuf>,
    /// The environment.
    variables: Vec<(OsString, OsString)>,
    /// The server's own program.
    executable: PathBuf,
}

impl Settings {
    /// The settings of this process: from the flags in `matches`, the environment, a file, and `defaults`.
    ///
    /// # Errors
    /// An unknown name or a value that cannot be used, with the place where it stands.
    pub(crate) fn load(matches: &ArgMatches, defaults: Self) -> Result<Self, SettingsError> {
        let given = |name: &str| matches.value_source(name) == Some(ValueSource::CommandLine);
        let flags = TABLE.iter().filter(|setting| given(setting.name)).filter_map(|setting| {
            matches.get_one::<String>(setting.name).map(|text| (setting.name.to_owned(), text.clone()))
        });
        let named = matches.get_one::<String>("config").map(PathBuf::from);
        let named =
            named.or_else(|| std::env::var_os("FLIGHTDECK_CONFIG").filter(|f| !f.is_empty()).map(PathBuf::from));
        let executable = std::env::current_exe().map_err(|error| {
            SettingsError::wrong("agents.retrieve", format!("the folder of this program cannot be found: {error}"))
        })?;
        Sources {
            defaults,
            flags: flags.collect(),
            agents: matches.get_many::<String>("agent").into_iter().flatten().cloned().collect(),
            file: named.or_else(|| Some(PathBuf::from(USUAL_FILE)).filter(|file| file.exists())),
            variables: std::env::vars_os().collect(),
            executable,
        }
        .load()
    }
}

impl Sources {
    fn load(self) -> Result<Settings, SettingsError> {
        let mut layers = Figment::from(Serialized::defaults(&self.defaults));
        if let Some(path) = &self.file {
            let text =
                std::fs::read_to_string(path).map_err(|source| SettingsError::File { path: path.clone(), source })?;
            layers = layers.merge(NamedToml { path, text });
        }
        for layer in environment(&self.variables)?.into_iter().chain(self.flag_layers()?) {
            layers = layers.merge(layer);
        }
        let mut settings: Settings = layers.extract().map_err(|error| {
            let place = error.metadata.as_ref().map_or("the settings".to_owned(), |metadata| metadata.name.to_string());
            SettingsError::from_layers(error, place)
        })?;
        let place = |key: &str| layers.find_metadata(key).map_or("the settings".to_owned(), |m| m.name.to_string());
        for setting in TABLE {
            (setting.check)(&settings).map_err(|why| SettingsError::wrong(place(setting.name), why))?;
        }
        check_together(&settings).map_err(|(key, why)| SettingsError::wrong(place(key), why))?;
        settings.check_agents().map_err(|(key, why)| SettingsError::wrong(place(&key), why))?;
        settings.add_built_in_agent(&self.executable);
        Ok(settings)
    }

    fn flag_layers(&self) -> Result<Vec<Layer>, SettingsError> {
        let mut layers = Vec::new();
        for (name, text) in &self.flags {
            let place = format!("--{}", kebab(name));
            let Some(setting) = TABLE.iter().find(|setting| setting.name == name) else { continue };
            let value = (setting.read)(text).map_err(|why| SettingsError::wrong(place.clone(), why))?;
            layers.push(Layer { place, dict: Dict::from([(name.clone(), value)]) });
        }
        for text in &self.agents {
            let (kind, agent) = agents::read_flag(text).map_err(|why| SettingsError::wrong("--agent", why))?;
            layers.push(Layer::agent("--agent".to_owned(), kind, agent));
        }
        Ok(layers)
    }
}

/// What the environment says, a layer a variable.
fn environment(variables: &[(OsString, OsString)]) -> Result<Vec<Layer>, SettingsError> {
    // In the order of their names, so that the first error is always the same.
    let ours: BTreeMap<&str, &OsString> = variables
        .iter()
        .filter_map(|(name, text)| Some((name.to_str()?.strip_prefix("FLIGHTDECK_")?, text)))
        .filter(|(name, _)| !OTHERS.contains(name))
        .collect();
    let mut layers = Vec::new();
    for (name, text) in ours {
        let place = format!("the environment variable {}", variable(name));
        let wrong = |why: String| SettingsError::wrong(place.clone(), why);
        let text = text.to_str().ok_or_else(|| wrong("its value is no valid UTF-8".to_owned()))?;
        if let Some(path) = name.strip_prefix("AGENTS__")
            && let Some(read) = agents::read_variable(path, text)
        {
            let (kind, agent) = read.map_err(wrong)?;
            layers.push(Layer::agent(place, kind, agent));
            continue;
        }
        let Some(setting) = TABLE.iter().find(|setting| variable(setting.name) == variable(name)) else {
            let known = TABLE.iter().map(|setting| setting.name);
            return Err(SettingsError::unknown(place, &name.to_ascii_lowercase(), known));
        };
        let value = (setting.read)(text).map_err(wrong)?;
        layers.push(Layer { place, dict: Dict::from([(setting.name.to_owned(), value)]) });
    }
    Ok(layers)
}

/// Bounds that settings set each other.
fn check_together(settings: &Settings) -> Result<(), (&'static str, String)> {
    if settings.heartbeat_timeout_ms <= settings.heartbeat_interval_ms {
        return Err((
            "heartbeat_timeout_ms",
            format!(
                "heartbeat_timeout_ms ({}) has to be more than heartbeat_interval_ms ({}), or quiet clients are dropped",
                settings.heartbeat_timeout_ms, settings.heartbeat_interval_ms
            ),
        ));
    }
    if settings.agent_restart_max_ms < settings.agent_restart_base_ms {
        return Err((
            "agent_restart_max_ms",
            format!(
                "agent_restart_max_ms ({}) has to be at least agent_restart_base_ms ({})",
                settings.agent_restart_max_ms, settings.agent_restart_base_ms
            ),
        ));
    }
    for (name, is_on) in [("drills", settings.drills), ("faults", settings.faults)] {
        if settings.production && is_on {
            let why = format!("{name} make things fail on purpose, and production forbids that: turn one of them off");
            return Err((name, why));
        }
    }
    if let Err(error) = tracing_subscriber::EnvFilter::builder().parse(&settings.log) {
        return Err(("log", format!("log: {:?} is no filter: {error}", settings.log)));
    }
    Ok(())
}

/// One thing that somebody set, and where.
struct Layer {
    place: String,
    dict: Dict,
}

impl Layer {
    fn agent(place: String, kind: String, agent: Dict) -> Self {
        let agents = Dict::from([(kind, Value::from(agent))]);
        Self { place, dict: Dict::from([("agents".to_owned(), Value::from(agents))]) }
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.place.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Map::from([(Profile::Default, self.dict.clone())]))
    }
}

/// A TOML file, named by its path alone.
struct NamedToml<'a> {
    path: &'a Path,
    text: String,
}

impl Provider for NamedToml<'_> {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.path.display().to_string())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Toml::string(&self.text).data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources() -> Sources {
        Sources {
            defaults: Settings::default(),
            flags: Vec::new(),
            agents: Vec::new(),
            file: None,
            variables: Vec::new(),
            executable: PathBuf::from("/opt/flightdeck/flightdeck"),
        }
    }

    fn variables(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
        pairs.iter().map(|(name, text)| (OsString::from(name), OsString::from(text))).collect()
    }

    fn file(text: &str) -> (tempfile::TempDir, Option<PathBuf>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("desk.toml");
        std::fs::write(&path, text).unwrap();
        (folder, Some(path))
    }

    fn refused(sources: Sources) -> String {
        sources.load().unwrap_err().to_string()
    }

    #[test]
    fn without_anything_the_defaults_hold_and_the_built_in_agent_is_there() {
        let settings = sources().load().unwrap();
        assert_eq!(settings.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(settings.agents["retrieve"].command, ["/opt/flightdeck/flightdeck-agent", "retrieve"]);
        assert_eq!(Settings { agents: BTreeMap::new(), ..settings }, Settings::default());
    }

    #[test]
    fn a_flag_counts_more_than_the_environment_and_that_more_than_the_file() {
        let (_folder, file) =
            file("workers = 1\nsubscriptions = 1\nheartbeat_interval_ms = 1000\nsignup = \"closed\"\n");
        let settings = Sources {
            flags: vec![("workers".to_owned(), "3".to_owned())],
            file,
            variables: variables(&[("FLIGHTDECK_WORKERS", "2"), ("FLIGHTDECK_SUBSCRIPTIONS", "2")]),
            ..sources()
        }
        .load()
        .unwrap();
        assert_eq!((settings.workers, settings.subscriptions, settings.heartbeat_interval_ms), (3, 2, 1000));
        assert_eq!(settings.signup, crate::settings::Signup::Closed);
    }

    #[test]
    fn an_agent_is_put_together_from_every_layer() {
        let (_folder, file) = file("[agents.draft]\ncommand = [\"draft\"]\nenv = { LANG = \"C\" }\n");
        let settings = Sources {
            agents: vec!["draft=other --fast".to_owned(), "retrieve=/bin/mine".to_owned()],
            file,
            variables: variables(&[
                ("FLIGHTDECK_AGENTS__DRAFT__SILENCE_SECONDS", "9"),
                ("FLIGHTDECK_AGENTS__DRAFT__ENV__API", "1"),
            ]),
            ..sources()
        }
        .load()
        .unwrap();
        let draft = &settings.agents["draft"];
        assert_eq!(
            (draft.command.as_slice(), draft.silence_seconds),
            (["other".into(), "--fast".into()].as_slice(), Some(9))
        );
        assert_eq!(draft.env.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>(), ["API=1", "LANG=C"]);
        assert_eq!(settings.agents["retrieve"].command, ["/bin/mine"]);
    }

    #[test]
    fn what_is_unknown_is_refused_and_the_place_is_named() {
        let (folder, named) = file("wrokers = 1\n");
        let message = refused(Sources { file: named, ..sources() });
        assert!(message.ends_with("desk.toml: there is no setting \"wrokers\"; is \"workers\" meant?"), "{message}");
        drop(folder);
        let (_folder, named) = file("[agents.draft]\ncommand = [\"a\"]\ncolour = 1\n");
        let message = refused(Sources { file: named, ..sources() });
        assert!(message.contains("there is no setting \"agents.draft.colour\""), "{message}");
        let message = refused(Sources { variables: variables(&[("FLIGHTDECK_LISTN", "a")]), ..sources() });
        assert_eq!(
            message,
            "the environment variable FLIGHTDECK_LISTN: there is no setting \"listn\"; is \"listen\" meant?"
        );
        let client = variables(&[("FLIGHTDECK_TOKEN", "a"), ("FLIGHTDECK_SERVER", "b"), ("FLIGHTDECK_LOG", "debug")]);
        assert_eq!(Sources { variables: client, ..sources() }.load().unwrap().log, "debug");
    }

    #[test]
    fn a_wrong_value_is_refused_and_the_place_is_named() {
        for (text, complaint) in [
            ("workers = \"many\"", "desk.toml: workers: invalid type"),
            ("workers = 5000", "desk.toml: workers has to be from 0 to 1024, and is 5000"),
            ("heartbeat_timeout_ms = 25000", "has to be more than heartbeat_interval_ms (25000)"),
            ("agent_restart_max_ms = 10", "desk.toml: agent_restart_max_ms (10) has to be at least"),
            ("log = \"=,=\"", "desk.toml: log: \"=,=\" is no filter"),
            ("signup = \"perhaps\"", "desk.toml: signup"),
            ("[agents.Draft]\ncommand = [\"a\"]", "desk.toml: the agent \"Draft\" has a name"),
            ("[agents.draft]\ncommand = []", "desk.toml: the agent \"draft\" has no command"),
            ("[agents.draft]\nwall_seconds = 1", "agents.draft: missing field `command`"),
            (
                "production = true\ndrills = true",
                "desk.toml: drills make things fail on purpose, and production forbids",
            ),
            (
                "production = true\nfaults = true",
                "desk.toml: faults make things fail on purpose, and production forbids",
            ),
            ("workers = ", "desk.toml: "),
        ] {
            let (_folder, file) = file(text);
            let message = refused(Sources { file, ..sources() });
            assert!(message.contains(complaint), "{text}: {message}");
        }
        let flags = vec![("data_dir".to_owned(), String::new())];
        assert_eq!(refused(Sources { flags, ..sources() }), "--data-dir: the path is empty");
        let message = refused(Sources { variables: variables(&[("FLIGHTDECK_DRILLS", "maybe")]), ..sources() });
        assert_eq!(message, "the environment variable FLIGHTDECK_DRILLS: \"maybe\" is neither true nor false");
    }

    #[test]
    fn a_file_that_is_named_has_to_be_there() {
        let message = refused(Sources { file: Some(PathBuf::from("/no/such/file.toml")), ..sources() });
        assert!(message.contains("/no/such/file.toml cannot be read"), "{message}");
    }
}
