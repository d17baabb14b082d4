//! *retrieve* against a portal that is not ours: the file server copyparty, with real files.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use flightdeck_protocol::model::{DocumentStatus, MissionStatus};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::support::{Server, agent_program, eventually, free_port, stored_log};

/// A running copyparty. It ends when this is dropped.
struct Copyparty {
    url: String,
    /// A password like no other on this machine.
    password: String,
    _child: Child,
    home: TempDir,
}

impl Copyparty {
    /// Shows `files` to `ann` alone.
    async fn serve(files: &[(&str, Vec<u8>)]) -> Self {
        let home = TempDir::new().expect("a temporary folder");
        let share = home.path().join("share");
        fs::create_dir(&share).expect("a folder");
        for (name, content) in files {
            fs::write(share.join(name), content).expect("a file");
        }
        let port = free_port();
        let password = format!("kX9-{}-wombat", uuid::Uuid::now_v7());
        let log = fs::File::create(home.path().join("copyparty.log")).expect("a log");
        let child = Command::new(python())
            .args(["-m", "copyparty", "-i", "127.0.0.1", "-p", &port.to_string()])
            .args(["-a", &format!("ann:{password}"), "-v", &format!("{}::r,ann", share.display())])
            .env("HOME", home.path())
            .env("XDG_CONFIG_HOME", home.path())
            .current_dir(home.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .expect("copyparty");
        let portal = Self { url: format!("http://127.0.0.1:{port}/"), password, _child: child, home };
        eventually("copyparty's start", || async { std::net::TcpStream::connect(("127.0.0.1", port)).ok() }).await;
        portal
    }

    /// What the agent is asked to do.
    fn input(&self, documents: serde_json::Value) -> serde_json::Value {
        json!({
            "portal": self.url,
            "secret": "copyparty",
            "login": {"page": "/?h", "fields": {"cppwd": "{password}"}, "check": "/?h", "success": "a.logout"},
            "list": {"page": "/?b", "link": "table#files a"},
            "documents": documents,
        })
    }
}

/// The Python that has copyparty.
fn python() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/venv/bin/python");
    let python = std::env::var_os("COPYPARTY_PYTHON").map_or(here, PathBuf::from);
    assert!(
        python.is_file(),
        "the file server copyparty is not set up ({} is missing): run make test, which does it",
        python.display()
    );
    python
}

/// Files of several kinds, one of them of more than a megabyte.
fn files() -> Vec<(&'static str, Vec<u8>)> {
    let pdf = b"%PDF-1.4\n1 0 obj << /Type /Catalog >> endobj\ntrailer << /Root 1 0 R >>\n%%EOF\n".to_vec();
    let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x02\0\0\0\x90wS\xde".to_vec();
    let csv = "date,amount\n2025-01-31,12.50\n2025-02-28,7.00\n".repeat(50).into_bytes();
    let large: Vec<u8> = (0..1_500_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    vec![
        ("W-2 2025.pdf", pdf),
        ("scan.png", png),
        ("transactions.csv", csv),
        ("large.bin", large),
        ("Änderung & más.txt", "grüße\n".as_bytes().to_vec()),
        ("not wanted.txt", b"leave me".to_vec()),
    ]
}

#[tokio::test]
async fn documents_are_fetched_from_a_foreign_portal_to_the_byte() {
    agent_program();
    let files = files();
    let portal = Copyparty::serve(&files).await;
    let server = Server::start().await;
    let ann = server.admin("ann").await;
    server.put_secret(&ann, "copyparty", &json!({"password": portal.password}));
    let wanted: Vec<_> = files[..5].iter().map(|(name, _)| json!({"name": name})).collect();
    let mission = server.started(&ann, Some("retrieve"), portal.input(json!(wanted))).await;
    let mut watcher = crate::support::Watcher::snapshot(&server, &ann, mission).await;
    // While it works: whoever looks at the processes of this machine sees no password.
    let mut looks = 0;
    while !watcher.mission().status.is_ended() {
        watcher.take().await;
        looks += 1;
        assert!(!command_lines(&portal.home).contains(&portal.password));
    }
    assert!(looks > 0);
    let done = watcher.mission().clone();
    assert_eq!(done.status, MissionStatus::Completed, "{:?}", done.status_reason);
    assert_eq!(done.documents.len(), 5);
    for (name, content) in &files[..5] {
        let document = done.documents.iter().find(|document| document.name == *name).expect(name);
        assert_eq!(document.sha256, format!("{:x}", Sha256::digest(content)), "{name}");
        assert_eq!((document.size, document.version), (content.len() as u64, 1));
        let reply = server.get(&ann, &format!("/api/documents/{}/download", document.id), &[]).await;
        assert_eq!(reply.status, 200);
        assert!(reply.body == *content, "{name} is not what the portal has");
        assert_eq!(reply.header("content-type"), document.media_type);
    }
    let kind = |name: &str| {
        done.documents.iter().find(|document| document.name == name).map(|document| document.media_type.as_str())
    };
    assert_eq!(kind("W-2 2025.pdf"), Some("application/pdf"));
    assert_eq!((kind("scan.png"), kind("transactions.csv")), (Some("image/png"), Some("text/csv")));
    assert!(done.documents.iter().all(|document| document.status == DocumentStatus::Verified));

    assert!(!server.log().contains(&portal.password), "the password is in the server's log");
    let log = stored_log(&server, &ann, mission).await.join("\n");
    assert!(!log.contains(&portal.password), "the password is in the mission's log");
}

/// All command lines of the machine, but for the portal's own, which is not ours to keep secret.
fn command_lines(portal: &TempDir) -> String {
    let all = crate::support::running_with(Path::new(""), None).into_iter().map(|(_, line)| line);
    let portal = portal.path().display().to_string();
    all.filter(|line| !line.contains(&portal)).collect()
}

#[tokio::test]
async fn a_password_that_the_portal_does_not_take_fails_the_mission() {
    agent_program();
    let portal = Copyparty::serve(&files()).await;
    let server = Server::start().await;
    let ann = server.admin("ann").await;
    server.put_secret(&ann, "copyparty", &json!({"password": "not-the-password"}));
    let mission = server.started(&ann, Some("retrieve"), portal.input(json!([{"name": "scan.png"}]))).await;
    let failed = server.end_of(&ann, mission).await;
    assert_eq!((failed.status, failed.documents.len()), (MissionStatus::Failed, 0));
    let log = stored_log(&server, &ann, mission).await.join("\n") + &server.log();
    assert!(!log.contains("not-the-password"));
}

#[tokio::test]
async fn a_document_that_is_not_there_or_not_as_expected_is_not_delivered_and_the_others_are() {
    agent_program();
    let portal = Copyparty::serve(&files()).await;
    let server = Server::start().await;
    let ann = server.admin("ann").await;
    server.put_secret(&ann, "copyparty", &json!({"password": portal.password}));
    let wanted = json!([
        {"name": "nowhere.pdf"},
        {"name": "scan.png", "sha256": "0".repeat(64)},
        {"name": "transactions.csv", "media_type": "text/csv"},
    ]);
    let mission = server.started(&ann, Some("retrieve"), portal.input(wanted)).await;
    let failed = server.end_of(&ann, mission).await;
    assert_eq!(failed.status, MissionStatus::Failed);
    let names: Vec<&str> = failed.documents.iter().map(|document| document.name.as_str()).collect();
    assert_eq!(names, ["transactions.csv"]);
    let reason = failed.status_reason.unwrap_or_default();
    assert!(reason.contains("nowhere.pdf") && reason.contains("scan.png"), "{reason}");
}
