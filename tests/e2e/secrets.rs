//! No secret is in anything that is printed, however much is asked for; and what has to be written down is this user's alone.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use k3s_arc_harness::{
    config::ProviderChoice,
    fixture::{Target, Verdict},
};
use rstest::rstest;

use crate::OWN;

/// What is seeded: nothing that could be printed by accident.
const SEEDS: [(&str, &str); 3] = [
    ("SPN_CLIENT_SECRET", "seed-kYz8Qw1~of.the-principal"),
    ("WORKSPACE_SHARED_KEY", "c2VlZC1rZXktb2YtdGhlLXdvcmtzcGFjZQ=="),
    ("LOGS_STORAGE_ACCOUNT_SAS", "sv=2026&sig=seed%2Fof%2Fthe%2Faccount"),
];

/// A `.test.env` as a user fills it, with the seeds in it.
fn seeded(directory: &Path) -> PathBuf {
    let filled = include_str!("../fixtures/filled.test.env");
    let line = |line: &str| match SEEDS.iter().find(|(name, _)| line.starts_with(&format!("export {name}="))) {
        Some((name, value)) => format!("export {name}=\"{value}\"\n"),
        None => format!("{line}\n"),
    };
    let path = directory.join("seeded.test.env");
    fs::write(&path, filled.lines().map(line).collect::<String>()).expect("the file is written");
    path
}

/// Ends what was kept, however the test ends.
struct Runs(PathBuf);

impl Drop for Runs {
    fn drop(&mut self) {
        let mut down = Command::new(env!("CARGO_BIN_EXE_k3s-arc"));
        let _ = down.args(["down", "--all"]).env("K3S_ARC_RUN_DIR", &self.0).output();
    }
}

/// A secret as it is, and as manifests and tokens have it.
fn forms(secret: &str) -> [String; 2] {
    [secret.to_owned(), base64(secret)]
}

fn base64(text: &str) -> String {
    by_base64("-w0", text)
}

fn decoded(text: &str) -> String {
    by_base64("-d", text)
}

/// By the tool that every user has, so that no mistake of ours is in it.
fn by_base64(argument: &str, text: &str) -> String {
    let mut tool = Command::new("base64");
    let mut child = tool.arg(argument).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("base64 starts");
    std::io::Write::write_all(&mut child.stdin.take().expect("its input"), text.as_bytes()).expect("it reads");
    String::from_utf8(child.wait_with_output().expect("it ends").stdout).expect("it writes text")
}

#[rstest]
#[case::emulator(Target::Emulator)]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(needs = OWN)]
async fn none_is_printed_at_any_level(#[case] target: Target) -> Verdict {
    let parent = tempfile::tempdir().expect("a temporary directory");
    let (runs, test_env) = (parent.path().join("runs"), seeded(parent.path()));
    let (provider, case) = match target.config()?.provider {
        ProviderChoice::Emulator => ("emulator", "case_1_emulator"),
        ProviderChoice::Multipass => ("multipass", "case_2_k3s"),
        _ => ("docker", "case_2_k3s"),
    };
    let _ended = Runs(runs.clone());
    let run = |program: &Path, arguments: &[&str]| -> Output {
        let mut command = Command::new(program);
        command.args(arguments).env("K3S_ARC_RUN_DIR", &runs).env("K3S_ARC_TEST_ENV", &test_env).env("RUST_LOG", "trace");
        // If this test is killed itself, what it keeps does not stay for the usual 8 h.
        command
            .envs([("K3S_ARC_KEEP", "always"), ("K3S_ARC_KEEP_FOR", "10m")])
            .env_remove("NEXTEST")
            .env_remove("NEXTEST_RUN_ID");
        command.output().expect("the program starts")
    };

    // The suite itself, at the level that tells everything, with a test that launches.
    let suite = std::env::current_exe().expect("this program");
    let test = format!("readiness::the_launcher_becomes_ready_and_ends_with_0::{case}");
    let told = run(&suite, &[&test, "--exact", "--include-ignored", "--nocapture"]);
    let text = |output: &Output| String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned();
    let mut printed = text(&told);
    assert!(told.status.success(), "the suite is to pass:\n{printed}");
    assert!(printed.contains("checkout dropped"), "the suite tells everything:\n{printed}");

    // The command line, on the cluster that the suite has kept where it can be used, with all evidence.
    let program = Path::new(env!("CARGO_BIN_EXE_k3s-arc"));
    let validated = run(program, &["validate", "--provider", provider, "--evidence", "readiness", "resources"]);
    assert!(validated.status.success(), "the checks are to pass:\n{}", text(&validated));
    printed += &text(&validated);
    printed += &text(&run(program, &["list"]));

    let mut secrets: Vec<String> = SEEDS.iter().map(|(_, value)| (*value).to_owned()).collect();
    let kept = fs::read_dir(&runs).expect("runs are kept").flatten().map(|run| run.path());
    let kept: Vec<PathBuf> = kept.filter(|run| run.is_dir()).collect();
    for run in &kept {
        assert_eq!(mode(run), 0o700, "{} is this user's alone", run.display());
        for cluster in fs::read_dir(run.join("clusters")).into_iter().flatten().flatten() {
            let kubeconfig = cluster.path().join("kubeconfig");
            assert_eq!(mode(&kubeconfig), 0o600, "{} is this user's alone", kubeconfig.display());
            let text = fs::read_to_string(kubeconfig).expect("it is readable");
            let keys = text.lines().filter_map(|line| line.trim().strip_prefix("client-key-data:"));
            for key in keys.map(|key| key.trim().trim_matches('"')) {
                secrets.push(key.to_owned());
                // And the lines of the key itself, as a debugger would show it.
                let pem = decoded(key);
                secrets.extend(pem.lines().filter(|line| line.len() > 16 && !line.starts_with("-----")).map(str::to_owned));
            }
        }
    }
    assert!(secrets.len() > SEEDS.len(), "a kept cluster's kubeconfig has a key");

    let down = run(program, &["down", "--all"]);
    assert!(down.status.success(), "{}", text(&down));
    printed += &text(&down);
    for secret in secrets {
        for form in forms(&secret) {
            let line = printed.lines().find(|line| line.contains(&form));
            assert_eq!(line, None, "a secret is printed");
        }
    }
    Ok(())
}

fn mode(path: &Path) -> u32 {
    path.metadata().expect("it is there").permissions().mode() & 0o777
}
