//! The flags of `serve` and `demo`, made from the table.

use clap::{Arg, ArgAction, builder::PossibleValuesParser};

use super::table::{Setting, Settings, TABLE};

/// What stands under the flags in the help.
pub(crate) const HELP: &str = "\
Every setting can be given as a flag, in the environment, or in a file; the first that has it counts:
  flightdeck serve --agent-silence-seconds 60
  FLIGHTDECK_AGENT_SILENCE_SECONDS=60 flightdeck serve
  echo 'agent_silence_seconds = 60' > flightdeck.toml; flightdeck serve

Agents are programs that missions are given to. \"retrieve\" is there from the start; others are set up with
  flightdeck serve --agent draft='python3 draft.py --fast'
  FLIGHTDECK_AGENTS__DRAFT__COMMAND='python3 draft.py --fast' flightdeck serve
or in the file:
  [agents.draft]
  command = [\"python3\", \"draft.py\", \"--fast\"]
  wall_seconds = 3600      # instead of agent_wall_seconds
  silence_seconds = 120    # instead of agent_silence_seconds
  env = { LANG = \"C.UTF-8\" }";

/// A flag for every setting, and those that say where settings are; the help names `defaults`.
pub(crate) fn flags(defaults: &Settings) -> Vec<Arg> {
    let config = Arg::new("config")
        .long("config")
        .value_name("FILE")
        .help("The file with settings [default: ./flightdeck.toml if it is there] [env: FLIGHTDECK_CONFIG]");
    let agent = Arg::new("agent")
        .long("agent")
        .value_name("NAME='COMMAND LINE'")
        .action(ArgAction::Append)
        .help("Sets up an agent kind; may be given more than once [env: FLIGHTDECK_AGENTS__NAME__COMMAND]");
    [config, agent].into_iter().chain(TABLE.iter().map(|setting| flag(setting, defaults))).collect()
}

fn flag(setting: &'static Setting, defaults: &Settings) -> Arg {
    let arg = Arg::new(setting.name)
        .long(kebab(setting.name))
        .value_name(setting.value_name)
        .allow_hyphen_values(true)
        .help(help(setting, defaults));
    if setting.is_switch {
        return arg
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .value_parser(PossibleValuesParser::new(["true", "false"]))
            .hide_possible_values(true);
    }
    arg
}

fn help(setting: &Setting, defaults: &Settings) -> String {
    let default = (setting.show)(defaults);
    let unit = if setting.unit.is_empty() { String::new() } else { format!(" {}", setting.unit) };
    let doc = setting.doc.trim_end_matches('.');
    format!("{doc} [default: {default}{unit}{}] [env: {}]", mebibytes(setting.unit, &default), variable(setting.name))
}

/// The same number in words that are easier to read, where there are such.
fn mebibytes(unit: &str, default: &str) -> String {
    let bytes: u64 = if unit.starts_with("bytes") { default.parse().unwrap_or(0) } else { 0 };
    match bytes {
        bytes if bytes >= 1 << 20 && bytes % (1 << 20) == 0 => format!(", {} MiB", bytes >> 20),
        bytes if bytes >= 1 << 10 && bytes % (1 << 10) == 0 => format!(", {} KiB", bytes >> 10),
        _ => String::new(),
    }
}

/// The flag of a setting, without the dashes in front.
pub(super) fn kebab(name: &str) -> String {
    name.replace('_', "-")
}

/// The environment variable of a setting.
pub(super) fn variable(name: &str) -> String {
    format!("FLIGHTDECK_{}", name.to_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_names_unit_default_and_variable() {
        let mut command =
            clap::Command::new("serve").args(flags(&Settings::default())).after_help(HELP).term_width(100);
        command.clone().debug_assert();
        insta::assert_snapshot!(command.render_help());
    }
}
