//! The files that the running program reads: which of them count, and who else may read or write
//! them.

use crate::support::{
    elastauth::Elastauth,
    process::command,
    stage::{GATEWAY_KEY, SECRET_KEY},
    tls::Signed,
    until,
};
use elastauth::internals::demo::standin::SERVICE_USER;
use http::StatusCode;
use std::{
    fs::{Permissions, set_permissions},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    time::Duration,
};
use tokio::time::timeout;

fn config(more: &str) -> String {
    format!(
        "listen: 127.0.0.1:0\nsecret_key: {SECRET_KEY}\n\
         elasticsearch: {{hosts: [\"http://127.0.0.1:1\"], username: {SERVICE_USER}, password: \
         p}}\n{more}"
    )
}

const ROLES: &str = "default_roles: [viewer]\n";
const ENVIRONMENT: &str = "ELASTAUTH_DEFAULT_ROLES=from-dot-env\n";

async fn default_roles(elastauth: &Elastauth) -> serde_json::Value {
    let shown = elastauth.server().get("/elastauth/config", &[]).await;
    assert_eq!(shown.status, StatusCode::OK);
    shown.json()["default_roles"].clone()
}

fn mode(path: &Path, mode: u32) {
    set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[tokio::test]
async fn variables_in_a_file_count_where_no_configuration_is_named_and_are_read_again() {
    let home = Elastauth::folder(&config(ROLES), &[(".env", ENVIRONMENT)]);
    let elastauth = Elastauth::start_in(home).await;
    assert_eq!(default_roles(&elastauth).await[0], "from-dot-env");
    elastauth.put(".env", "ELASTAUTH_DEFAULT_ROLES=changed\n");
    until("the change", || elastauth.log().contains("is in force")).await;
    assert_eq!(default_roles(&elastauth).await[0], "changed");
    // If others may write it from now on, the old one stays in force.
    mode(&elastauth.home().join(".env"), 0o666);
    elastauth.hang_up();
    until("the refusal", || {
        elastauth
            .log()
            .contains("others than its owner may write it")
    })
    .await;
    assert_eq!(default_roles(&elastauth).await[0], "changed");
}

#[tokio::test]
async fn beside_a_named_configuration_variables_in_a_file_are_ignored() {
    let files = [(".env", ENVIRONMENT)];
    let elastauth = Elastauth::start_anywhere(&config(ROLES), &files).await;
    assert_eq!(default_roles(&elastauth).await[0], "viewer");
    let log = elastauth.log();
    assert!(
        log.lines().any(|line| line.contains("WARN")
            && line.contains(".env: the file is ignored: `--config` names the configuration")),
        "{log}"
    );
}

#[tokio::test]
async fn variables_in_a_file_that_comes_later_are_ignored() {
    let elastauth = Elastauth::start_in(Elastauth::folder(&config(ROLES), &[])).await;
    elastauth.put(".env", ENVIRONMENT);
    elastauth.edit(|config| config + "log_level: warn\n");
    until("a look at the file", || {
        elastauth
            .log()
            .contains(".env: the file is ignored: it was not there")
    })
    .await;
    assert_eq!(default_roles(&elastauth).await[0], "viewer");
}

#[tokio::test]
async fn variables_in_a_file_that_others_may_write_or_in_a_pipe_are_ignored() {
    let home = || Elastauth::folder(&config(ROLES), &[]);
    let (written, pipe) = (home(), home());
    let path = written.path().join(".env");
    std::fs::write(&path, ENVIRONMENT).unwrap();
    mode(&path, 0o646);
    make_pipe(&pipe.path().join(".env"));
    for (home, why) in [
        (written, "others than its owner may write it (mode 0646)"),
        (pipe, "it is not a regular file"),
    ] {
        let elastauth = Elastauth::start_in(home).await;
        let log = elastauth.log();
        assert!(
            log.contains(".env: the file is ignored") && log.contains(why),
            "{log}"
        );
        assert_eq!(default_roles(&elastauth).await[0], "viewer");
    }
}

fn make_pipe(path: &Path) {
    let _gone = std::fs::remove_file(path);
    let made = std::process::Command::new("mkfifo").arg(path).status();
    assert!(made.unwrap().success());
}

#[tokio::test]
async fn a_pipe_instead_of_a_file_holds_up_neither_a_reload_nor_the_end() {
    let keys = format!("{ROLES}gateway_keys_file: /etc/elastauth/key\n");
    let mut elastauth = Elastauth::start_anywhere(&config(&keys), &[("key", GATEWAY_KEY)]).await;
    let kept = elastauth.file("config.yml");
    let (path, key) = (elastauth.config(), elastauth.home().join("key"));
    // Nobody writes these.
    for (pipe, content, said) in [
        (&path, kept.as_str(), "it is a pipe; use a regular file"),
        (&key, GATEWAY_KEY, "the file is empty"),
    ] {
        make_pipe(pipe);
        until(said, || elastauth.log().contains(said)).await;
        elastauth.put(pipe.file_name().unwrap().to_str().unwrap(), content);
    }
    elastauth.edit(|config| config.replace("[viewer]", "[reader]"));
    until("the change", || elastauth.log().contains("is in force")).await;
    // Somebody has this one open, and never writes.
    make_pipe(&key);
    let mut options = std::fs::OpenOptions::new();
    let held = options.read(true).write(true).open(&key).unwrap();
    elastauth.hang_up();
    let opened = format!("/proc/{}/fd", elastauth.id());
    let is_read = || {
        let mut open = std::fs::read_dir(&opened).unwrap().flatten();
        open.any(|file| std::fs::read_link(file.path()).is_ok_and(|file| file == key))
    };
    until("the pipe is read", is_read).await;
    assert!(elastauth.terminate().await.success());
    drop(held);
}

#[tokio::test]
async fn a_pipe_instead_of_a_certificate_ends_the_start_and_a_check() {
    for lines in [
        "tls: {cert: PIPE, key: PIPE}\n",
        "tls: {cert: /etc/elastauth/cert, key: PIPE}\n",
        "tls: {cert: /etc/elastauth/cert, key: /etc/elastauth/key, client_ca: PIPE}\n",
        "auth_provider: oidc\noidc: {client_id: a, issuer: 'https://127.0.0.1:1', tls: \
         {ca_cert: PIPE}}\n",
        "cache: {type: redis}\nredis: {url: 'rediss://127.0.0.1:1', tls: {ca_cert: PIPE}}\n",
    ] {
        let lines = lines.replace("PIPE", "/etc/elastauth/pipe");
        let signed = Signed::by_itself(&["localhost"]);
        let files = [("cert", &*signed.certificate), ("key", &*signed.key)];
        let home = Elastauth::folder(&config(&format!("{ROLES}{lines}")), &files);
        let pipe = home.path().join("pipe");
        make_pipe(&pipe);
        for arguments in [&["check"][..], &[]] {
            let mut program =
                tokio::process::Command::from(command(env!("CARGO_BIN_EXE_elastauth")));
            program
                .arg("--config")
                .arg(home.path().join("config.yml"))
                .args(arguments)
                .kill_on_drop(true);
            let output = timeout(Duration::from_secs(20), program.output()).await;
            let output = output.unwrap_or_else(|_| panic!("{lines}{arguments:?}: no end"));
            let output = output.unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned()
                + &String::from_utf8_lossy(&output.stdout);
            assert!(
                !output.status.success()
                    && said.contains(pipe.to_str().unwrap())
                    && said.contains("it is not a regular file"),
                "{lines}{arguments:?}: {said}"
            );
        }
    }
}

#[tokio::test]
async fn a_pipe_instead_of_a_certificate_holds_up_no_reload() {
    let signed = Signed::by_itself(&["localhost", "127.0.0.1"]);
    let files = [("cert", &*signed.certificate), ("key", &*signed.key)];
    let tls = format!("{ROLES}tls: {{cert: /etc/elastauth/cert, key: /etc/elastauth/key}}\n");
    let mut elastauth = Elastauth::start_anywhere(&config(&tls), &files).await;
    for (name, content) in files {
        let path = elastauth.home().join(name);
        make_pipe(&path);
        let refused = format!(
            "{} cannot be read: it is not a regular file",
            path.display()
        );
        until(&refused, || elastauth.log().contains(&refused)).await;
        elastauth.put(name, content);
    }
    elastauth.edit(|config| config.replace("[viewer]", "[reader]"));
    until("the change", || elastauth.log().contains("is in force")).await;
    assert!(elastauth.terminate().await.success());
}

#[tokio::test]
async fn a_pipe_that_is_found_in_the_working_directory_is_no_configuration() {
    let home = Elastauth::folder("", &[]);
    make_pipe(&home.path().join("config.yml"));
    let mut check = tokio::process::Command::from(command(env!("CARGO_BIN_EXE_elastauth")));
    check
        .arg("check")
        .current_dir(home.path())
        .kill_on_drop(true);
    let output = timeout(Duration::from_secs(20), check.output()).await;
    let output = output.expect("an end").unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned()
        + &String::from_utf8_lossy(&output.stdout);
    assert!(
        said.contains("config.yml: the configuration cannot be read: it is a pipe"),
        "{said}"
    );
}

/// What a container without its mounts looks like: each start says what is missing.
#[tokio::test]
async fn a_start_without_a_usable_configuration_says_what_to_do() {
    let home = Elastauth::folder("", &[]);
    std::fs::remove_file(home.path().join("config.yml")).unwrap();
    let serve = async |arguments: &[&str]| {
        let mut serve = tokio::process::Command::from(command(env!("CARGO_BIN_EXE_elastauth")));
        serve
            .arg("serve")
            .args(arguments)
            .current_dir(home.path())
            .kill_on_drop(true);
        let output = timeout(Duration::from_secs(20), serve.output()).await;
        let output = output.expect("an end").unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let said = serve(&[]).await;
    let path = home.path().canonicalize().unwrap().join("config.yml");
    assert!(
        said.contains(&format!(
            "There is no configuration file {}",
            path.display()
        )) && said.contains("`elasticsearch.hosts` is missing"),
        "{said}"
    );
    std::fs::create_dir(&path).unwrap();
    for arguments in [&[][..], &["--config", "config.yml"]] {
        let said = serve(arguments).await;
        assert!(
            said.contains("remove the folder and mount a file"),
            "{said}"
        );
    }
    std::fs::remove_dir(&path).unwrap();
    let credential = "/run/credentials/elastauth.service/secrets_secret_key";
    std::fs::write(
        &path,
        config("").replace(
            &format!("secret_key: {SECRET_KEY}"),
            &format!("secret_key_file: {credential}"),
        ),
    )
    .unwrap();
    let said = serve(&[]).await;
    assert!(
        said.contains(credential) && said.contains("`LoadCredential=` of the unit"),
        "{said}"
    );
}

#[tokio::test]
async fn files_that_others_may_write_or_read_are_warned_of() {
    let elastauth = Elastauth::start_anywhere(
        &config(&format!("{ROLES}gateway_keys_file: /etc/elastauth/key\n")),
        &[("key", GATEWAY_KEY)],
    )
    .await;
    let check = async || {
        let output = elastauth.command(&["check"]).await;
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let home = elastauth.home();
    for (name, at) in [("config.yml", 0o666), ("key", 0o644)] {
        mode(&home.join(name), at);
    }
    // Nobody else can enter the folder.
    mode(home, 0o700);
    let quiet = check().await;
    assert!(
        !quiet.contains("others") && !quiet.contains("every user"),
        "{quiet}"
    );
    mode(home, 0o755);
    let warned = check().await;
    for text in [
        "others than its owner may write this file (mode 0666)",
        "every user of this machine can read this file, which holds `gateway_keys`",
        "config.yml: every user of this machine can read this file, which holds `secret_key`",
    ] {
        assert!(warned.contains(text), "{text}: {warned}");
    }
    for (name, at) in [("config.yml", 0o600), ("key", 0o600)] {
        mode(&home.join(name), at);
    }
    assert!(!check().await.contains("every user"));
}
