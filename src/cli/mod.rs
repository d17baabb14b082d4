//! The command line: what can be typed, and what runs for it.

mod connection;
mod credentials;
mod desk;
mod login;
mod mission;
mod sign_in;
mod text;
mod user;
mod watch;

use std::{fmt, process::ExitCode};

use clap::{ArgMatches, Args, FromArgMatches, Parser, Subcommand};

use crate::settings::{self, Settings};

const EXAMPLES: &str = "\
Try it:
  flightdeck demo                          a server with demo people and a mission that runs
  flightdeck mission list                  in another terminal: which missions there are
  flightdeck watch MISSION                 and one of them, live

On a server of your own:
  flightdeck user create ada --role admin --data-dir ./var/flightdeck --organization Acme
  flightdeck serve
  flightdeck login --user ada
  flightdeck mission create --title 'Fetch the forms' --agent retrieve --input forms.json --start

Client commands sign in with the first of these that is there: the token in FLIGHTDECK_TOKEN;
--as ROLE, a person of the demo that was started in this folder; --user or FLIGHTDECK_USER, with
FLIGHTDECK_PASSWORD or a prompt; what `flightdeck login` saved; the officer of the demo.
They exit with 1 when something fails, and with 2 when they were called wrongly.";

/// The server between AI agents that work for minutes to days and the people who watch, steer and approve their work.
#[derive(Parser)]
#[command(name = "flightdeck", version, after_help = EXAMPLES, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server
    Serve(ServeFlags),
    /// Run the server with demo people, a sample portal and a mission that fetches documents from it
    Demo(DemoFlags),
    /// Watch a mission live: its plan, progress, activity, documents and who else is there
    Watch(watch::WatchArgs),
    /// Sign in, and save it for later commands
    Login(login::LoginArgs),
    /// End the saved sign-in
    Logout(login::LogoutArgs),
    /// Make missions, list them, and run them
    #[command(subcommand)]
    Mission(mission::MissionCommand),
    /// Look after people
    #[command(subcommand)]
    User(user::UserCommand),
}

/// Somebody called a command wrongly: exit code 2.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// Runs what the command line asks for. Nothing but the keeper of an agent runs before it.
pub(crate) fn run() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Serve(ServeFlags(settings)) => settings.map_err(usage).and_then(crate::serve::serve).map(|()| true),
        Command::Demo(DemoFlags(settings)) => settings.map_err(usage).and_then(crate::demo::demo).map(|()| true),
        Command::User(user::UserCommand::Create(args)) if args.data_dir.is_some() => {
            user::create_offline(&args).map(|()| true)
        }
        command => client(command),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("flightdeck: {}", text::clean(&format!("{error:#}")));
            if error.is::<Usage>() { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

/// A command that talks to a server; false if it went well and its subject did not.
fn client(command: Command) -> anyhow::Result<bool> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(async {
        match command {
            Command::Watch(args) => watch::watch(args).await,
            Command::Login(args) => login::login(args).await.map(|()| true),
            Command::Logout(args) => login::logout(args).await.map(|()| true),
            Command::Mission(command) => mission::run(command).await.map(|()| true),
            Command::User(command) => user::run(command).await.map(|()| true),
            Command::Serve(_) | Command::Demo(_) => Ok(true),
        }
    });
    // A prompt or a lock that nobody waits for any more must not hold up the exit.
    runtime.shutdown_background();
    outcome
}

fn usage(error: settings::SettingsError) -> anyhow::Error {
    anyhow::Error::new(Usage(error.to_string()))
}

/// The settings of a server, from its flags and everything below them.
struct ServeFlags(Result<Settings, settings::SettingsError>);

/// The same for the demo, which keeps its things elsewhere.
struct DemoFlags(Result<Settings, settings::SettingsError>);

macro_rules! server_flags {
    ($name:ident, $defaults:expr) => {
        impl Args for $name {
            fn augment_args(command: clap::Command) -> clap::Command {
                command.args(settings::flags(&$defaults)).after_help(settings::HELP)
            }

            fn augment_args_for_update(command: clap::Command) -> clap::Command {
                Self::augment_args(command)
            }
        }

        impl FromArgMatches for $name {
            fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
                Ok(Self(Settings::load(matches, $defaults)))
            }

            fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
                *self = Self::from_arg_matches(matches)?;
                Ok(())
            }
        }
    };
}

server_flags!(ServeFlags, Settings::default());
server_flags!(DemoFlags, Settings { data_dir: "./var/demo".into(), ..Settings::default() });

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound_and_explains_itself() {
        let mut command = Cli::command().term_width(100);
        command.clone().debug_assert();
        insta::assert_snapshot!(command.render_help());
        insta::assert_snapshot!(command.find_subcommand_mut("watch").unwrap().render_help());
    }

    #[test]
    fn the_demo_keeps_its_things_apart() {
        let parse = |line: &[&str]| Cli::try_parse_from(line).ok().map(|cli| cli.command);
        let Some(Command::Demo(DemoFlags(Ok(demo)))) = parse(&["flightdeck", "demo"]) else { panic!("no demo") };
        assert_eq!(demo.data_dir, std::path::Path::new("./var/demo"));
        let Some(Command::Serve(ServeFlags(Ok(serve)))) = parse(&["flightdeck", "serve", "--drills", "--workers", "2"])
        else {
            panic!("no server")
        };
        assert!(serve.drills && serve.workers == 2);
        assert!(parse(&["flightdeck", "serve", "--no-such-flag"]).is_none());
    }
}
