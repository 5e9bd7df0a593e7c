//! The commands beside the shell. A file has those that are alike.

mod copy;
mod date;
mod dd;
mod list;
mod names;
mod show;
mod stat;
mod system;
mod tree;
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
