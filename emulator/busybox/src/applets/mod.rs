//! The commands beside the shell. A file has those that are alike.

mod awk;
mod copy;
mod date;
mod dd;
mod disk;
mod expr;
mod find;
mod grep;
mod httpd;
mod lines;
mod list;
mod machine;
mod names;
mod nc;
mod nslookup;
mod others;
mod sed;
mod show;
mod stat;
mod sums;
mod system;
mod tar;
mod tree;
mod wget;
mod words;

use futures::FutureExt;
use k3s_arc_container::Process;

use crate::applet::{Applet, Ended, Known, VERSION};

/// An applet as the table has it.
macro_rules! applet {
    ($name:literal, $run:path, $usage:literal) => {
        Known { name: $name, usage: $usage, run: |applet| $run(applet).boxed() }
    };
}

/// All of them, in order.
pub(crate) fn all() -> Vec<Known> {
    let mut all = vec![
        applet!("[", words::bracket, "EXPRESSION ]"),
        applet!("[[", words::bracket, "EXPRESSION ]]"),
        applet!("basename", names::basename, "FILE [SUFFIX] | -a FILE... | -s SUFFIX FILE..."),
        applet!("cat", show::cat, "[-nbvteA] [FILE]..."),
        applet!("chgrp", tree::chown, "[-Rh]... GROUP FILE..."),
        applet!("chmod", tree::chmod, "[-R] MODE[,MODE]... FILE..."),
        applet!("chown", tree::chown, "[-Rh]... USER[:[GRP]] FILE..."),
        applet!("cp", copy::cp, "[-arPLHpfinlsTu] SOURCE DEST\nor: cp [-arPLHpfinlsu] SOURCE... { -t DIRECTORY | DIRECTORY }"),
        applet!("date", date::date, "[OPTIONS] [+FMT] [[-s] TIME]"),
        applet!("dd", dd::dd, "[if=FILE] [of=FILE] [ibs=N obs=N/bs=N] [count=N] [skip=N] [seek=N]"),
        applet!("dirname", names::dirname, "FILENAME"),
        applet!("echo", words::echo, "[-neE] [ARG]..."),
        applet!("false", words::no, ""),
        applet!("head", show::head, "[OPTIONS] [FILE]..."),
        applet!("ln", tree::ln, "[-sfnbtv] [-S SUF] TARGET... LINK|DIR"),
        applet!("ls", list::ls, "[-1AaCxdLHRFplinshrSXvctu] [-w WIDTH] [FILE]..."),
        applet!("mkdir", tree::mkdir, "[-m MODE] [-p] DIRECTORY..."),
        applet!("mv", copy::mv, "[-finT] SOURCE DEST\nor: mv [-fin] SOURCE... { -t DIRECTORY | DIRECTORY }"),
        applet!("printf", words::printf, "FORMAT [ARG]..."),
        applet!("pwd", names::pwd, ""),
        applet!("readlink", names::readlink, "[-fnv] FILE"),
        applet!("realpath", names::realpath, "FILE..."),
        applet!("rm", tree::rm, "[-irf] FILE..."),
        applet!("rmdir", tree::rmdir, "[-p] DIRECTORY..."),
        applet!("sleep", system::sleep, "[N]..."),
        applet!("stat", stat::stat, "[-ltf] [-c FMT] FILE..."),
        applet!("sync", system::sync, "[-df] [FILE]..."),
        applet!("tail", show::tail, "[OPTIONS] [FILE]..."),
        applet!("tee", show::tee, "[-ai] [FILE]..."),
        applet!("test", words::test, "EXPRESSION"),
        applet!("touch", tree::touch, "[-cham] [-d DATE] [-t DATE] [-r FILE] FILE..."),
        applet!("true", words::yes_it_is, ""),
        applet!("httpd", httpd::httpd, "[-ifv[v]] [-c CONFFILE] [-p [IP:]PORT] [-h HOME]"),
        applet!("nc", nc::nc, "[OPTIONS] HOST PORT  - connect\nnc [OPTIONS] -l -p PORT [HOST] [PORT]  - listen"),
        applet!("nslookup", nslookup::nslookup, "[-type=QUERY_TYPE] [-debug] HOST [DNS_SERVER]"),
        applet!("ping", nc::ping, "[OPTIONS] HOST"),
        applet!(
            "wget",
            wget::wget,
            "[-cqS] [--spider] [-O FILE] [--header STR] [--post-data STR | --post-file FILE] [-P DIR] [-U AGENT] [-T SEC] URL..."
        ),
        applet!("cut", lines::cut, "{-b|c LIST | -f LIST [-d SEP] [-s]} [FILE]..."),
        applet!("egrep", grep::grep, "[-HhnlLoqvsrRiwFEz] [-m N] [-A|B|C N] { PATTERN | -e PATTERN... | -f FILE... } [FILE]..."),
        applet!("fgrep", grep::grep, "[-HhnlLoqvsrRiwFEz] [-m N] [-A|B|C N] { PATTERN | -e PATTERN... | -f FILE... } [FILE]..."),
        applet!("find", find::find, "[-HL] [PATH]... [OPTIONS] [ACTIONS]"),
        applet!("grep", grep::grep, "[-HhnlLoqvsrRiwFEz] [-m N] [-A|B|C N] { PATTERN | -e PATTERN... | -f FILE... } [FILE]..."),
        applet!("rev", lines::rev, "[FILE]..."),
        applet!("sed", sed::sed, "[-i[SFX]] [-nrE] [-f FILE]... [-e CMD]... [FILE]...\nor: sed [-i[SFX]] [-nrE] CMD [FILE]..."),
        applet!("seq", lines::seq, "[-w] [-s SEP] [FIRST [INC]] LAST"),
        applet!("sort", lines::sort, "[-nrughMcszbdfiokt] [-o FILE] [-k START[.OFS][OPTS][,END[.OFS][OPTS]] [-t CHAR] [FILE]..."),
        applet!("tac", lines::tac, "[FILE]..."),
        applet!("tr", lines::tr, "[-cds] STRING1 [STRING2]"),
        applet!("uniq", lines::uniq, "[-cduiz] [-f,s,w N] [FILE [OUTFILE]]"),
        applet!("yes", lines::yes, "[STRING]"),
        applet!("awk", awk::awk, "[-F SEP] '[PATTERN] {print [VALUE]...}' [FILE]..."),
        applet!("tar", tar::tar, "c|x|t [-mpkvo] [-f TARFILE] [-C DIR] [FILE]..."),
        applet!("base64", sums::base64, "[-d] [-w COL] [FILE]"),
        applet!("df", disk::df, "[-PkmhTai] [-B SIZE] [-t TYPE] [FILESYSTEM]..."),
        applet!("du", disk::du, "[-aHLdclsxhmk] [FILE]..."),
        applet!("env", others::env, "[-i0] [-u NAME]... [-] [NAME=VALUE]... [PROG ARGS]"),
        applet!("expr", expr::expr, "EXPRESSION"),
        applet!("fallocate", disk::truncate, "[-o OFS] -l LEN FILE"),
        applet!("groups", machine::groups, "[USER]"),
        applet!("hostname", machine::hostname, "[-sidf] [HOSTNAME | -F FILE]"),
        applet!("id", machine::id, "[-ugGnr] [USER]"),
        applet!("kill", others::kill, "[-l] [-SIG] PID..."),
        applet!("killall", others::by_name, "[-lq] [-SIG] NAME..."),
        applet!("md5sum", sums::sum, "[-c[sw]] [FILE]..."),
        applet!("mktemp", machine::mktemp, "[-dt] [-p DIR] [TEMPLATE]"),
        applet!("nohup", others::nohup, "PROG ARGS"),
        applet!("nproc", machine::nproc, "[--all] [--ignore=N]"),
        applet!("pidof", others::by_name, "[-s] [-o PID] [NAME]..."),
        applet!("printenv", machine::printenv, "[VARIABLE]..."),
        applet!("ps", others::ps, "[-o COL1,COL2=HEADER] [-T]"),
        applet!("sha1sum", sums::sum, "[-c[sw]] [FILE]..."),
        applet!("sha256sum", sums::sum, "[-c[sw]] [FILE]..."),
        applet!("sha512sum", sums::sum, "[-c[sw]] [FILE]..."),
        applet!("time", others::time, "[-vpa] [-o FILE] [-f FMT] PROG ARGS"),
        applet!("timeout", others::timeout, "[-s SIG] [-k KILL_SECS] SECS PROG ARGS"),
        applet!("truncate", disk::truncate, "[-c] -s SIZE FILE..."),
        applet!("tty", machine::tty, "[-s]"),
        applet!("uname", machine::uname, "[-amnrspvio]"),
        applet!("uptime", machine::uptime, ""),
        applet!("which", machine::which, "[-a] COMMAND..."),
        applet!("whoami", machine::whoami, ""),
        applet!("xargs", others::xargs, "[OPTIONS] [PROG ARGS]"),
        applet!("wc", show::wc, "[-cmlwL] [FILE]..."),
    ];
    all.sort_by_key(|known| known.name);
    all
}

/// Runs one of them.
pub(crate) async fn run(known: Known, process: Process) -> i32 {
    let args = process.args.get(1..).unwrap_or_default().to_vec();
    Applet::new(known, args, process).run().await
}

/// `busybox`: the applet that its first argument names.
pub(crate) async fn busybox(mut process: Process) -> i32 {
    let name = process.args.get(1).cloned().unwrap_or_default();
    if matches!(name.as_str(), "sh" | "ash") {
        process.args.remove(0);
        return crate::shell::sh(process).await;
    }
    if let Some(known) = all().into_iter().find(|known| known.name == name) {
        process.args.remove(0);
        return run(known, process).await;
    }
    let known = Known { name: "busybox", usage: "", run: |applet| nothing(applet).boxed() };
    let mut applet = Applet::new(known, Vec::new(), process);
    let listed = async {
        match name.as_str() {
            "--list" => {
                for name in names() {
                    applet.line(name).await?;
                }
                applet.end(0).await
            }
            "" | "--help" => {
                let names = names().join(", ");
                applet
                    .put(format!(
                        "{VERSION}\n\nUsage: busybox [function [arguments]...]\n\nCurrently defined functions:\n\t{names}\n"
                    ))
                    .await?;
                applet.end(0).await
            }
            other => {
                let _ = std::io::Write::write_all(&mut applet.stderr.clone(), format!("{other}: applet not found\n").as_bytes());
                Ok(127)
            }
        }
    };
    match listed.await {
        Ok(status) | Err(crate::applet::Stop(status)) => status,
    }
}

async fn nothing(_: Applet) -> Ended {
    Ok(0)
}

fn names() -> Vec<&'static str> {
    let mut names: Vec<_> = all().into_iter().map(|known| known.name).chain(["ash", "sh"]).collect();
    names.sort_unstable();
    names
}
