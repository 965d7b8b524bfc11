use super::*;
use serde_json::Value;
use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

const LONG: Duration = Duration::from_secs(10);

fn audit(path: &Path) -> (Audit, Metrics) {
    let metrics = Metrics::default();
    let config = Config {
        target: AuditTarget::File(path.to_owned()),
        ..Config::default()
    };
    (
        Audit::start(&config, Clock::default(), metrics.clone()).unwrap(),
        metrics,
    )
}

fn write(audit: &Audit, user: &str, roles: &[&str]) {
    let details = EventDetails {
        user: Some(user),
        roles: roles.to_vec(),
        reason: Some("first login"),
        ..EventDetails::default()
    };
    audit.write(EventKind::UserWritten, &details);
}

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

fn count(metrics: &Metrics, result: &str) -> u64 {
    let start = format!("elastauth_audit_lines_total{{result=\"{result}\"}} ");
    metrics
        .expose()
        .lines()
        .find_map(|line| line.strip_prefix(&start)?.parse().ok())
        .unwrap()
}

#[tokio::test]
async fn a_line_tells_who_was_written_with_which_roles() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let (audit, metrics) = audit(&path);
    write(&audit, "al\"i\nce", &["editor", "viewer"]);
    audit.flush(LONG).await;
    let [line] = &lines(&path)[..] else {
        panic!("one line")
    };
    assert_eq!(
        (&line["event"], &line["user"], &line["reason"]),
        (
            &"user_written".into(),
            &"al\"i\nce".into(),
            &"first login".into()
        )
    );
    assert_eq!(line["roles"], serde_json::json!(["editor", "viewer"]));
    assert!(line["@timestamp"].is_string() && line.get("provider").is_none());
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert_eq!(
        (count(&metrics, "written"), count(&metrics, "lost")),
        (1, 0)
    );
}

#[tokio::test]
async fn a_file_that_was_moved_away_is_created_again() {
    let folder = tempfile::tempdir().unwrap();
    let (path, old) = (
        folder.path().join("audit.jsonl"),
        folder.path().join("audit.jsonl.1"),
    );
    let (audit, _) = audit(&path);
    write(&audit, "alice", &[]);
    audit.flush(LONG).await;
    fs::rename(&path, &old).unwrap();
    write(&audit, "bob", &[]);
    audit.flush(LONG).await;
    assert_eq!(
        (
            lines(&old)[0]["user"].clone(),
            lines(&path)[0]["user"].clone()
        ),
        ("alice".into(), "bob".into())
    );
}

#[tokio::test]
async fn a_folder_that_comes_late_loses_lines_and_says_how_many() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("later").join("audit.jsonl");
    let (audit, metrics) = audit(&path);
    write(&audit, "alice", &[]);
    write(&audit, "bob", &[]);
    audit.flush(LONG).await;
    fs::create_dir(path.parent().unwrap()).unwrap();
    write(&audit, "carol", &[]);
    audit.flush(LONG).await;
    let [lost, carol] = &lines(&path)[..] else {
        panic!("two lines")
    };
    assert_eq!(
        (&lost["event"], &lost["count"], &carol["user"]),
        (&"lines_lost".into(), &2.into(), &"carol".into())
    );
    assert_eq!(
        (count(&metrics, "written"), count(&metrics, "lost")),
        (1, 2)
    );
}

#[tokio::test]
async fn a_full_disk_is_counted_and_stops_nobody() {
    let (audit, metrics) = audit(Path::new("/dev/full"));
    for _ in 0..100 {
        write(&audit, "alice", &[]);
    }
    audit.flush(LONG).await;
    assert_eq!(
        (count(&metrics, "written"), count(&metrics, "lost")),
        (0, 100)
    );
}

#[tokio::test]
async fn a_disk_that_hangs_fills_the_queue_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe");
    // Opening a pipe that nobody reads waits, as a dead network disk does.
    assert!(
        std::process::Command::new("mkfifo")
            .arg(&path)
            .status()
            .unwrap()
            .success()
    );
    let (audit, metrics) = audit(&path);
    for _ in 0..QUEUE + 100 {
        write(&audit, "alice", &[]);
    }
    // One line may be in the hands of the writer.
    assert!(
        (99..=100).contains(&count(&metrics, "lost")),
        "{}",
        count(&metrics, "lost")
    );
    let reader = std::thread::spawn(move || fs::read_to_string(path).unwrap());
    audit.flush(LONG).await;
    drop(audit);
    assert!(reader.join().unwrap().contains("\"event\":\"lines_lost\""));
}

#[tokio::test]
async fn without_a_target_nothing_is_done() {
    let audit = Audit::start(&Config::default(), Clock::default(), Metrics::default()).unwrap();
    write(&audit, "alice", &[]);
    audit.flush(LONG).await;
    assert!(!audit.is_on() && !audit.wants_all_grants());
}
