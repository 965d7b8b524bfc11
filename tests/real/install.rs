//! `install.sh` of `elastauth init --run systemd`, as root, with a root file system that is there
//! for it alone: what it writes to /etc and /usr is gone at its end. systemd is not the first
//! process there, so `systemctl` only writes down what it is told; the package's own checks start
//! the unit under a real one.

use crate::support::process::command;
use std::{fs, path::Path, process::Output};
use tempfile::TempDir;

/// Mounts, and then runs what follows it. `$1` is a folder, `$2` the program.
const PREPARE: &str = r#"set -eu
work=$1 program=$2
mkdir "$work/layers"
mount -t tmpfs tmpfs "$work/layers"
for top in etc usr; do
  mkdir "$work/layers/$top" "$work/layers/$top.work"
  mount -t overlay overlay \
    -o "lowerdir=/$top,upperdir=$work/layers/$top,workdir=$work/layers/$top.work" "/$top"
done
rm -rf /etc/elastauth /usr/bin/elastauth
cat >/usr/bin/systemctl <<END
#!/bin/sh
echo "\$*" >>$work/systemctl
END
chmod 755 /usr/bin/systemctl
"#;

struct Machine {
    home: TempDir,
}

impl Machine {
    /// With what `elastauth init` has made.
    fn new() -> Self {
        let home = tempfile::tempdir().expect("a folder");
        let arguments = [
            "init",
            "made",
            "--gateway",
            "traefik",
            "--run",
            "systemd",
            "--provider",
            "authelia",
            "--host",
            "es.example.org",
            "--kibana-host",
            "kibana.example.org",
            "--auth-host",
            "auth.example.org",
            "--cluster",
            "http://127.0.0.1:19200",
        ];
        let mut init = command(env!("CARGO_BIN_EXE_elastauth"));
        let made = init.current_dir(home.path()).args(arguments).output();
        let made = made.expect("elastauth init");
        assert!(made.status.success(), "{made:?}");
        Self { home }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.home.path().join(name)
    }

    /// Runs this as root of its machine.
    fn run(&self, script: &str) -> Output {
        let mut unshare = command("unshare");
        unshare.args(["--mount", "--propagation", "private"]);
        // Somebody else needs other users of their own, for `chown`.
        if !rustix::process::geteuid().is_root() {
            unshare.args(["--map-root-user", "--map-auto"]);
        }
        let script = format!("{PREPARE}{script}");
        let program = Path::new(env!("CARGO_BIN_EXE_elastauth"));
        let run = unshare
            .args(["sh", "-c", &script, "sh"])
            .args([self.home.path(), program])
            .output()
            .expect("unshare");
        let _ = fs::remove_dir(self.path("layers"));
        run
    }
}

fn lines(output: &Output) -> Vec<String> {
    let said = String::from_utf8_lossy(&output.stdout);
    said.lines().map(str::to_owned).collect()
}

#[test]
fn install_sh_puts_each_file_where_the_unit_reads_it_and_changes_nothing_that_is_there() {
    let machine = Machine::new();
    let installed = machine.run(
        r#"cp "$program" /usr/bin/elastauth
sh "$work/made/install.sh" >&2
cd /etc
stat -c '%a %U:%G %n' elastauth elastauth/secrets elastauth/config.yml elastauth/secrets/* \
  systemd/system/elastauth.service /usr/lib/sysusers.d/elastauth.conf
id -un elastauth
for file in config.yml secrets/secret_key secrets/gateway_key secrets/elasticsearch_password; do
  cmp "elastauth/$file" "$work/made/$file"
done
cmp systemd/system/elastauth.service "$work/made/elastauth.service"
# A second time it stops before it writes, and says at what.
echo changed >elastauth/secrets/secret_key
rm systemd/system/elastauth.service
! sh "$work/made/install.sh" || exit 9
cat elastauth/secrets/secret_key
[ ! -e systemd/system/elastauth.service ]
"#,
    );
    let said = String::from_utf8_lossy(&installed.stderr);
    assert!(installed.status.success(), "{installed:?}");
    assert_eq!(
        lines(&installed),
        [
            "750 root:elastauth elastauth",
            "700 root:root elastauth/secrets",
            "640 root:elastauth elastauth/config.yml",
            "600 root:root elastauth/secrets/elasticsearch_password",
            "600 root:root elastauth/secrets/gateway.env",
            "600 root:root elastauth/secrets/gateway_key",
            "600 root:root elastauth/secrets/secret_key",
            "644 root:root systemd/system/elastauth.service",
            "644 root:root /usr/lib/sysusers.d/elastauth.conf",
            "elastauth",
            "changed",
        ]
    );
    assert!(
        said.contains("0 fault(s)") && said.contains("/etc/elastauth/config.yml is there already"),
        "{said}"
    );
    let told = fs::read_to_string(machine.path("systemctl")).expect("what systemctl was told");
    assert_eq!(told, "daemon-reload\nenable --now elastauth\n");
}

#[test]
fn install_sh_stops_at_a_missing_program_and_before_the_start_at_a_fault() {
    let machine = Machine::new();
    let without = machine.run(
        r#"! sh "$work/made/install.sh" || exit 9
[ ! -e /etc/elastauth ] && [ ! -e /etc/systemd/system/elastauth.service ]
"#,
    );
    let said = String::from_utf8_lossy(&without.stderr);
    assert!(
        without.status.success() && said.contains("install the program as /usr/bin/elastauth"),
        "{without:?}"
    );
    let config = machine.path("made/config.yml");
    let text = fs::read_to_string(&config).expect("the configuration");
    fs::write(&config, text.replace("group_mappings", "group_mapings")).expect("a fault");
    let faulty = machine.run(
        r#"cp "$program" /usr/bin/elastauth
! sh "$work/made/install.sh" >&2 || exit 9
"#,
    );
    let said = String::from_utf8_lossy(&faulty.stderr);
    assert!(
        faulty.status.success() && said.contains("did you mean `group_mappings`"),
        "{faulty:?}"
    );
    assert!(!machine.path("systemctl").exists(), "nothing is started");
}
