//! `flightdeck user`: making accounts, on a running server or in its folder while it does not run.

use std::{
    io::{IsTerminal, Read},
    path::PathBuf,
};

use anyhow::{Context, anyhow};
use clap::{Args, Subcommand};
use flightdeck_protocol::{
    model::{Person, Role},
    operations::{CreateUser, Empty, ListUsers, NewUser},
};

use super::{
    Usage,
    connection::Connection,
    desk::{Desk, print},
    text::{clean, columns, table},
};

/// What can be done about people.
#[derive(Subcommand)]
pub(crate) enum UserCommand {
    /// Make an account; its password is asked for, or read with --password-stdin
    Create(CreateArgs),
    /// List the people of your organization
    List(ListArgs),
}

/// What `user create` takes.
#[derive(Args)]
#[command(after_help = "\
Examples:
  flightdeck user create ada --role admin --data-dir ./var/flightdeck --organization Acme
      the first account of a server, made while the server does not run
  flightdeck user create vera --role viewer
      an account in your own organization, made by an admin who is signed in")]
pub(crate) struct CreateArgs {
    /// The name to sign in with
    username: String,
    /// What the person may do: admin, officer, manager, approver or viewer
    #[arg(long)]
    role: Role,
    /// The name to show
    #[arg(long)]
    name: Option<String>,
    /// The e-mail address
    #[arg(long)]
    email: Option<String>,
    /// Read the password from standard input, up to its first line end
    #[arg(long)]
    password_stdin: bool,
    /// Make the account in this folder of a server that is not running
    #[arg(long, value_name = "PATH")]
    pub(crate) data_dir: Option<PathBuf>,
    /// With --data-dir: the organization, which is made if it is not there
    #[arg(long, value_name = "NAME", requires = "data_dir")]
    organization: Option<String>,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

/// What `user list` takes.
#[derive(Args)]
pub(crate) struct ListArgs {
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

/// Runs what talks to a server.
pub(crate) async fn run(command: UserCommand) -> anyhow::Result<()> {
    match command {
        UserCommand::Create(args) => {
            let new = args.new_user()?;
            let desk = Desk::open(&args.connection).await?;
            let printed = desk.print::<CreateUser>(new, args.json, |person| made(&person)).await;
            desk.leave().await;
            printed
        }
        UserCommand::List(args) => {
            let desk = Desk::open(&args.connection).await?;
            let printed = desk.print::<ListUsers>(Empty {}, args.json, |list| people(&list.items)).await;
            desk.leave().await;
            printed
        }
    }
}

/// Makes an account in the folder of a server that is not running.
pub(crate) fn create_offline(args: &CreateArgs) -> anyhow::Result<()> {
    let data_dir = args.data_dir.as_deref().context("no folder is named")?;
    let person = crate::serve::create_user_offline(data_dir, args.new_user()?, args.organization.clone())?;
    print(&if args.json { serde_json::to_string(&person)? } else { made(&person) })
}

impl CreateArgs {
    fn new_user(&self) -> anyhow::Result<NewUser> {
        Ok(NewUser {
            username: self.username.clone(),
            password: self.password()?,
            role: self.role,
            name: self.name.clone(),
            email: self.email.clone(),
        })
    }

    fn password(&self) -> anyhow::Result<String> {
        if self.password_stdin {
            let mut text = String::new();
            std::io::stdin().take(4096).read_to_string(&mut text)?;
            return Ok(text.lines().next().unwrap_or_default().to_owned());
        }
        if !std::io::stdin().is_terminal() {
            return Err(anyhow!(Usage(
                "there is no terminal to ask for the password: use --password-stdin".to_owned()
            )));
        }
        let username = clean(&self.username);
        let password = rpassword::prompt_password(format!("Password for {username}: "))?;
        if password != rpassword::prompt_password("The same again: ")? {
            return Err(anyhow!("the two passwords differ; nothing was done"));
        }
        Ok(password)
    }
}

fn made(person: &Person) -> String {
    clean(&format!("made {} ({}) in {}", person.username, person.role.name(), person.organization.name))
}

fn people(people: &[Person]) -> String {
    let rows: Vec<Vec<String>> = people
        .iter()
        .map(|person| {
            let email = person.email.clone().unwrap_or_default();
            vec![person.username.clone(), person.role.name().to_owned(), person.name.clone(), email]
        })
        .collect();
    table(&["USER", "ROLE", "NAME", "E-MAIL"], &rows, columns())
}
