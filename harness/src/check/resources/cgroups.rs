//! What the kernel holds Arc's components to, read in their own containers.

use std::{collections::BTreeMap, time::Duration};

use futures::future::try_join_all;
use k3s_arc_standin::arc::Component;
use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::apis::meta::v1::Status};
use kube::{ResourceExt, api::AttachParams};
use tokio::{io::AsyncReadExt, time::timeout};

use super::{MEMORY, components};
use crate::{
    check::{Area, Check, Context, Evidence, Failure},
    cluster::{Access, Capability},
    image::PROGRAM_PATH,
    probe::{
        Report, Request,
        cgroup::{self, Version},
    },
    quantity::Amount,
};

/// See its question.
pub const COMPONENTS_ARE_HELD_TO_THEIR_LIMITS: Check = Check {
    area: Area::Resources,
    name: "components_are_held_to_their_limits",
    question: "Do the cgroups that components see in their own containers have their documented limits?",
    needs: &[Capability::Cgroups],
    access: Access::Shared,
    on_arc: true,
    ask: |cx, evidence| Box::pin(ask(cx, evidence)),
};

/// Within this, a container has answered. Busy nodes take seconds for it.
const EXEC_DEADLINE: Duration = Duration::from_secs(60);

async fn ask(cx: &Context, evidence: &mut Evidence) -> Result<(), Failure> {
    let pods = components::pods(cx).await?;
    let seen = try_join_all(pods.iter().map(|(component, pod)| read(cx, component, pod))).await?;
    let mut wrong = Vec::new();
    for ((component, _), cgroup) in pods.iter().zip(seen) {
        evidence.saw(component.name, told(&cgroup));
        wrong.extend(differences(component, &cgroup).into_iter().map(|difference| format!("{}: {difference}", component.name)));
    }
    evidence.require(wrong.is_empty(), "every container's cgroup has the documented limits", wrong.join("; "))?;
    Ok(())
}

fn told(cgroup: &cgroup::Answer) -> String {
    let (version, share) = match cgroup.version {
        Version::V1 => ("v1", "shares"),
        Version::V2 => ("v2", "weight"),
    };
    let stopped = cgroup.throttling.throttled_periods;
    let (memory, cpu) = (told_memory(cgroup), told_cpu(cgroup));
    format!("cgroup {version}: memory {memory}, CPU {cpu}, {share} {}, stopped in {stopped} periods", cgroup.cpu_share)
}

fn told_memory(cgroup: &cgroup::Answer) -> String {
    cgroup.memory_limit.map_or_else(|| "unlimited".to_owned(), |bytes| bytes_of(bytes).of(MEMORY).to_string())
}

fn told_cpu(cgroup: &cgroup::Answer) -> String {
    cgroup.cpu_limit.map_or_else(|| "unlimited".to_owned(), |limit| format!("{}m", limit.millicores()))
}

/// Where the kernel's values are not those documented.
fn differences(component: &Component, cgroup: &cgroup::Answer) -> Vec<String> {
    let mut differences = Vec::new();
    if cgroup.memory_limit.map(bytes_of) != Amount::parse(component.memory_limit) {
        differences.push(format!("memory limit {} in place of {}", told_memory(cgroup), component.memory_limit));
    }
    let cpu = cgroup.cpu_limit.map(|limit| i128::from(limit.millicores()));
    if cpu != Amount::parse(component.cpu_limit).map(Amount::as_milli) {
        differences.push(format!("CPU limit {} in place of {}", told_cpu(cgroup), component.cpu_limit));
    }
    // Only version 1 has the request as it was made: what a runtime makes of it as a weight has changed over time.
    let shares = Amount::parse(component.cpu_request).map_or(0, |request| request.as_milli() * 1024 / 1000);
    if cgroup.version == Version::V1 && i128::from(cgroup.cpu_share) != shares {
        differences.push(format!("CPU shares {} in place of {shares}, for {}", cgroup.cpu_share, component.cpu_request));
    }
    differences
}

fn bytes_of(bytes: u64) -> Amount {
    Amount::units(i64::try_from(bytes).unwrap_or(i64::MAX))
}

/// Reads the cgroup in the component's main container: by the stand-in's own program, or file by file where the image
/// has a `cat`, as Microsoft's do.
async fn read(cx: &Context, component: &Component, pod: &Pod) -> Result<cgroup::Answer, Failure> {
    let must_hold = format!("the cgroup of component {} can be read in its container", component.name);
    let container = components::main_container(component, pod).map(|container| container.name.clone());
    let container = container.ok_or_else(|| Failure::new(&must_hold, "it has no main container"))?;
    let answer = if cx.launch()?.standin {
        let request = Request::Cgroup(cgroup::Request::default());
        let request = serde_json::to_string(&request).map_err(|error| Failure::new(&must_hold, error))?;
        let Ran { stdout, problem } = exec(cx, pod, &container, &[PROGRAM_PATH, "probe", &request]).await?;
        match serde_json::from_str(stdout.trim()) {
            Ok(Report::Answer(answer)) => Ok(answer),
            Ok(Report::Error(error)) => Err(error),
            Err(error) => {
                Err(problem.map_or_else(|| format!("{error} in {stdout:?}"), |problem| problem.message.unwrap_or_default()))
            }
        }
    } else {
        let files = cgroup::FILES.map(|file| read_file(cx, pod, &container, file));
        let files: BTreeMap<_, _> = try_join_all(files).await?.into_iter().flatten().collect();
        cgroup::parse(&cgroup::Files(files))
    };
    answer.map_err(|error| Failure::new(must_hold, error))
}

/// A file's name and text; nothing, if the container has no such file: those of the other version.
async fn read_file(
    cx: &Context,
    pod: &Pod,
    container: &str,
    file: &'static str,
) -> Result<Option<(&'static str, String)>, Failure> {
    let path = format!("{}/{file}", cgroup::ROOT);
    match exec(cx, pod, container, &["cat", &path]).await? {
        Ran { stdout, problem: None } => Ok(Some((file, stdout))),
        // As the kubelet tells that a command ran and ended with another code than 0.
        Ran { problem: Some(problem), .. } if problem.reason.as_deref() == Some("NonZeroExitCode") => Ok(None),
        Ran { problem: Some(problem), .. } => {
            Err(Failure::new(format!("`cat {path}` runs in pod {}", pod.name_any()), problem.message.unwrap_or_default()))
        }
    }
}

/// A command that ran in a container, or did not.
struct Ran {
    stdout: String,
    problem: Option<Status>,
}

/// Runs a command in a container of a pod of Arc's.
async fn exec(cx: &Context, pod: &Pod, container: &str, command: &[&str]) -> Result<Ran, Failure> {
    let name = pod.name_any();
    let must_hold = format!("`{}` answers in pod {name}", command.join(" "));
    let with = AttachParams { container: Some(container.to_owned()), stdout: true, stderr: false, ..AttachParams::default() };
    let run = async {
        let mut process = cx.api_in::<Pod>(&cx.launch()?.namespace).exec(&name, command.iter().copied(), &with).await?;
        let status = process.take_status();
        let mut stdout = String::new();
        if let Some(mut stream) = process.stdout() {
            stream.read_to_string(&mut stdout).await.map_err(|error| Failure::new(&must_hold, error))?;
        }
        let status = match status {
            Some(status) => status.await,
            None => None,
        };
        Ok(Ran { stdout, problem: status.filter(|status| status.status.as_deref() == Some("Failure")) })
    };
    timeout(EXEC_DEADLINE, run)
        .await
        .unwrap_or_else(|_| Err(Failure::new(&must_hold, format!("no answer in {} s", EXEC_DEADLINE.as_secs()))))
}

#[cfg(test)]
mod tests {
    use k3s_arc_standin::arc::Component;
    use rstest::rstest;

    use super::*;
    use crate::probe::cgroup::{Answer, CpuLimit, Throttling};

    const CONTROL_MEMORY: u64 = 2 << 30;

    fn control(version: Version, memory_limit: Option<u64>, quota_us: u64, cpu_share: u64) -> Answer {
        let cpu_limit = Some(CpuLimit { quota_us, period_us: 100_000 });
        Answer { version, memory_limit, cpu_limit, cpu_share, throttling: Throttling::default() }
    }

    #[rstest]
    #[case::as_documented(control(Version::V1, Some(CONTROL_MEMORY), 180_000, 409), &[])]
    #[case::as_documented_in_version_2(control(Version::V2, Some(CONTROL_MEMORY), 180_000, 16), &[])]
    #[case::unlimited(control(Version::V2, None, 180_000, 16), &["memory limit unlimited in place of 2Gi"])]
    #[case::other_limits(
        control(Version::V2, Some(1 << 30), 100_000, 16),
        &["memory limit 1Gi in place of 2Gi", "CPU limit 1000m in place of 1800m"]
    )]
    #[case::other_request(control(Version::V1, Some(CONTROL_MEMORY), 180_000, 2), &["CPU shares 2 in place of 409, for 400m"])]
    fn what_differs_from_the_sizing_guidance_is_told(#[case] seen: Answer, #[case] expected: &[&str]) {
        assert_eq!(differences(Component::named("control").unwrap(), &seen), expected);
    }
}
