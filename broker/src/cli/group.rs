//! `headwater group ...`: consumer groups of a running broker.

mod answer;
mod seek;
mod show;

use clap::{Args, Subcommand, ValueEnum};
use hyper::Method;
use serde_json::json;

use self::answer::{GroupAnswer, GroupsAnswer};
use super::{
    Exit, Screen,
    client::{ApiClient, Place, part},
    output::{self, Format, or_dash, time},
    password::PasswordArgs,
};

#[derive(Debug, Args)]
pub(super) struct GroupArgs {
    #[command(flatten)]
    place: Place,
    /// How the answer is written.
    #[arg(long, value_enum, default_value_t, global = true)]
    format: Format,
    #[command(subcommand)]
    command: GroupCommand,
}

#[derive(Debug, Subcommand)]
enum GroupCommand {
    /// Make a group, and print the settings for its clients.
    Create(Create),
    /// All groups, or those of one instance.
    List {
        /// Only of this instance.
        #[arg(long, value_name = "NAME")]
        instance: Option<String>,
    },
    /// One group: who consumes, how far it is behind, where it is in each topic.
    Show(Named),
    /// Give a group another password; its consumers are put out.
    Passwd {
        #[command(flatten)]
        group: Named,
        #[command(flatten)]
        password: PasswordArgs,
    },
    /// Delete a group with its positions.
    Delete {
        #[command(flatten)]
        group: Named,
        /// Also while it has consumers, which are put out.
        #[arg(long)]
        force: bool,
    },
    /// Move a group to other records; shows first what that does.
    Seek(seek::SeekArgs),
    /// Who moved a group, when, from where to where; also of a deleted one.
    History(Named),
    /// Settings for the clients of a group, ready to copy.
    Clients {
        #[command(flatten)]
        group: Named,
        /// Only for this client.
        #[arg(long, value_enum)]
        lang: Option<Language>,
    },
}

/// A group, by id or name.
#[derive(Debug, Args)]
struct Named {
    /// Its id or name.
    #[arg(value_name = "GROUP")]
    group: String,
    /// Its instance; found by itself where the group is there.
    #[arg(long, value_name = "NAME")]
    instance: Option<String>,
}

#[derive(Debug, Args)]
struct Create {
    /// For people; the id is made from it unless --id is given.
    #[arg(value_name = "NAME")]
    name: String,
    /// The instance whose topics it may read.
    #[arg(long, value_name = "NAME")]
    instance: String,
    /// 1 to 16 of A-Z a-z 0-9 _; clients log in as ACCOUNT-ID.
    #[arg(long)]
    account: String,
    /// Kafka's group.id.
    #[arg(long)]
    id: Option<String>,
    /// What a second consumer is told.
    #[arg(long, value_enum, default_value_t)]
    mode: Mode,
    #[command(flatten)]
    password: PasswordArgs,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Mode {
    /// It stands by and takes over.
    #[default]
    Exclusive,
    /// It is refused.
    Reject,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Language {
    Kcat,
    Java,
    Flink,
    Python,
    Kafkajs,
}

pub(super) async fn run(args: GroupArgs, screen: &Screen) -> Result<(), Exit> {
    let client = ApiClient::at(&args.place)?;
    let format = args.format;
    match args.command {
        GroupCommand::Create(create) => make(&client, create, (format, screen)).await,
        GroupCommand::List { instance } => list(&client, instance.as_deref(), format).await,
        GroupCommand::Show(group) => {
            let path = group.path(&client).await?;
            show::write(client.get(&path).await?, format)
        }
        GroupCommand::Passwd { group, password } => {
            let path = group.path(&client).await?;
            let body = json!({ "password": password.read()? });
            let path = format!("{path}/password");
            client.send(Method::PUT, &path, Some(&body)).await?;
            screen.line("the new password is in force; who consumed has to log in with it");
            Ok(())
        }
        GroupCommand::Delete { group, force } => {
            let path = format!("{}?force={force}", group.path(&client).await?);
            client.send(Method::DELETE, &path, None).await?;
            screen.line(&format!("group {} is deleted", group.group));
            Ok(())
        }
        GroupCommand::Seek(seek) => seek::run(&client, seek, (format, screen)).await,
        GroupCommand::History(group) => {
            let path = format!("{}/history", group.path(&client).await?);
            show::write_history(client.get(&path).await?, format)
        }
        GroupCommand::Clients { group, lang } => {
            let path = format!("{}/clients", group.path(&client).await?);
            show::write_settings(client.get(&path).await?, lang, (format, screen))
        }
    }
}

impl Named {
    /// Its path in the API. Asks the broker for the instance where that was not said.
    async fn path(&self, client: &ApiClient) -> Result<String, Exit> {
        let group = &self.group;
        let instance = match &self.instance {
            Some(instance) => instance.clone(),
            None => {
                let all: GroupsAnswer = output::read(client.get("/api/v1/groups").await?)?;
                let mut all = all.groups.into_iter();
                let found = all.find(|one| one.id == *group || one.name == *group);
                let found = found.ok_or_else(|| {
                    Exit::Failed(format!(
                        "no group {group:?}; `headwater group list` shows all; the history of a deleted group needs \
                         its instance: --instance NAME"
                    ))
                })?;
                found.instance.ok_or_else(|| {
                    Exit::Failed(format!(
                        "group {group:?} has named no topic yet and belongs to no instance; it vanishes by itself"
                    ))
                })?
            }
        };
        let (instance, group) = (part(&instance), part(group));
        Ok(format!("/api/v1/instances/{instance}/groups/{group}"))
    }
}

async fn make(
    client: &ApiClient,
    create: Create,
    (format, screen): (Format, &Screen),
) -> Result<(), Exit> {
    let path = format!("/api/v1/instances/{}/groups", part(&create.instance));
    // Before anybody types a password: whether there is a broker, and the instance.
    client.get(&path).await?;
    let body = json!({
        "name": create.name,
        "id": create.id,
        "account": create.account,
        "password": create.password.read()?,
        "mode": match create.mode {
            Mode::Exclusive => "exclusive",
            Mode::Reject => "reject",
        },
    });
    let made = client.send(Method::POST, &path, Some(&body)).await?;
    if format == Format::Json {
        return output::write_json(&made);
    }
    let made: GroupAnswer = output::read(made)?;
    screen.line(&format!("group {} is made", made.id));
    let settings = client
        .get(&format!("{path}/{}/clients", part(&made.id)))
        .await?;
    show::write_settings(settings, None, (format, screen))
}

async fn list(client: &ApiClient, instance: Option<&str>, format: Format) -> Result<(), Exit> {
    let path = match instance {
        Some(instance) => format!("/api/v1/instances/{}/groups", part(instance)),
        None => "/api/v1/groups".to_owned(),
    };
    let answer = client.get(&path).await?;
    if format == Format::Json {
        return output::write_json(&answer);
    }
    let answer: GroupsAnswer = output::read(answer)?;
    let rows: Vec<_> = answer.groups.iter().map(row).collect();
    let heads = [
        "GROUP",
        "NAME",
        "INSTANCE",
        "ACCOUNT",
        "ACTIVE",
        "STANDBYS",
        "LAG",
        "LAG SECONDS",
        "LAST COMMIT",
    ];
    let mut text = output::table(&heads, &rows);
    if let Some(limit) = answer.limit {
        text.push_str(&format!("{} of {limit} groups\n", answer.made));
    }
    output::write(&text)
}

fn row(group: &GroupAnswer) -> Vec<String> {
    vec![
        group.id.clone(),
        group.name.clone(),
        or_dash(group.instance.as_ref()),
        or_dash(group.account.as_ref()),
        or_dash(group.active().map(|client| &client.client_id)),
        group.standbys().to_string(),
        group.lag_records.to_string(),
        group.lag_seconds.to_string(),
        time(group.last_commit_ms),
    ]
}
