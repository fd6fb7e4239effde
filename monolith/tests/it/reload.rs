//! Files of a Secret volume that change while the service runs.

use crate::support::*;
use monolith::Users;
use monolith::config::{Config, Secret};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

const RELOADED: &str = r#"monolith_reloads_total{file="secret",outcome="success"}"#;
const FAILED: &str = r#"monolith_reloads_total{file="secret",outcome="failure"}"#;

fn with_secret(directory: &Path) -> Config {
    let file = watched(&directory.join("secret"), "first");
    Config {
        secret: Secret {
            key: b"first".to_vec(),
            file: Some(file),
        },
        ..config()
    }
}

async fn secure(server: &Server, token: &str) -> u16 {
    get(server.http, "/secure", &[&bearer(token)]).await.status
}

#[tokio::test]
async fn a_new_secret_signs_and_the_previous_one_verifies() {
    let directory = directory("rotate");
    let server = Server::start(with_secret(&directory));
    let before = server.token().await;
    fs::write(directory.join("secret"), "second").unwrap();
    server.until_metric(RELOADED, 1.0).await;
    let after = server.token().await;
    assert_eq!(secure(&server, &before).await, 200);
    assert_eq!(secure(&server, &after).await, 200);
    let other = Server::start(with_secret(&directory));
    assert_eq!(secure(&other, &after).await, 401);
}

#[tokio::test]
async fn an_empty_secret_is_rejected() {
    let directory = directory("empty");
    let server = Server::start(with_secret(&directory));
    let before = server.token().await;
    fs::write(directory.join("secret"), "\n").unwrap();
    server.until_metric(FAILED, 1.0).await;
    assert_eq!(secure(&server, &before).await, 200);
    assert_eq!(secure(&server, &server.token().await).await, 200);
}

#[tokio::test]
async fn a_secret_that_is_no_file_or_huge_is_rejected() {
    let directory = directory("odd");
    let server = Server::start(with_secret(&directory));
    let (odd, secret) = (directory.join("odd"), directory.join("secret"));
    rustix::fs::mkfifoat(rustix::fs::CWD, &odd, 0o600.into()).unwrap();
    fs::rename(&odd, &secret).unwrap();
    server.until_metric(FAILED, 1.0).await;
    fs::File::create(&odd).unwrap().set_len(1 << 30).unwrap();
    fs::rename(&odd, &secret).unwrap();
    server.until_metric(FAILED, 2.0).await;
    fs::write(&odd, "second").unwrap();
    fs::rename(&odd, &secret).unwrap();
    server.until_metric(RELOADED, 1.0).await;
}

#[tokio::test]
async fn users_are_reloaded_when_a_volume_changes_and_kept_if_they_are_invalid() {
    let directory = directory("users");
    let generation = |name: &str, content: &str| {
        fs::create_dir(directory.join(name)).unwrap();
        fs::write(directory.join(name).join("users"), content).unwrap();
        symlink(name, directory.join("..data_tmp")).unwrap();
        fs::rename(directory.join("..data_tmp"), directory.join("..data")).unwrap();
    };
    let ann = format!("ann:{QUICK}\n");
    generation("..1", &ann);
    symlink("..data/users", directory.join("users")).unwrap();
    let path = directory.join("users");
    let watch = pod::watch::Watch::new(vec![path.clone()]);
    let server = Server::start(Config {
        users: Users::parse(&path, ann.as_bytes()).unwrap(),
        users_file: Some(monolith::config::WatchedFile { path, watch }),
        ..config()
    });
    let login = async |credentials: &str| {
        get(server.http, "/login", &[&basic(credentials)])
            .await
            .status
    };
    assert_eq!(login("ann:secret").await, 200);

    generation("..2", &format!("bob:{QUICK}\n"));
    server
        .until_metric(
            r#"monolith_reloads_total{file="users",outcome="success"}"#,
            1.0,
        )
        .await;
    assert_eq!(login("ann:secret").await, 401);
    assert_eq!(login("bob:secret").await, 200);

    generation("..3", "bob:damaged\n");
    server
        .until_metric(
            r#"monolith_reloads_total{file="users",outcome="failure"}"#,
            1.0,
        )
        .await;
    assert_eq!(login("bob:secret").await, 200);
}
