//! What is printed: JSON as `src/client/cli/formatter/json_formatter.cpp` writes it, in the shapes of the version that is played, and tables
//! for people.

use serde_json::{Map, Value, json};

use crate::{
    arguments::Format,
    docker,
    failure::Failure,
    faults::{Fault, Faults},
    launch::IMAGES,
    machine::{self, Machine, State},
    snapshot::{self, Snapshot},
    version::Version,
};

fn print(value: &Value) -> Result<(), Failure> {
    // Qt indents by four.
    let mut text = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    serde::Serialize::serialize(value, &mut serde_json::Serializer::with_formatter(&mut text, formatter))
        .map_err(|error| Failure::Fake(error.to_string()))?;
    println!("{}", String::from_utf8_lossy(&text));
    Ok(())
}

/// `version`, which tells the client's alone where the daemon does not answer.
pub(crate) fn print_version(version: &Version, faults: &Faults, format: Format) -> Result<(), Failure> {
    let answers = !faults.has(Fault::NoDaemon) && !faults.has(Fault::NoPermission);
    let text = &version.text;
    if format == Format::Json {
        let mut told = json!({ "multipass": text });
        if answers {
            told["multipassd"] = json!(text);
        }
        return print(&told);
    }
    println!("multipass   {text}");
    if answers {
        println!("multipassd  {text}");
    }
    Ok(())
}

/// `info`.
pub(crate) fn info(names: &[String], format: Format, snapshots: bool, version: &Version, faults: &Faults) -> Result<(), Failure> {
    let machines = machine::all(faults)?;
    let wanted = |name: &str| names.is_empty() || names.iter().any(|asked| asked.split('.').next() == Some(name));
    let errors: Vec<String> = names
        .iter()
        .filter(|asked| !machines.iter().any(|machine| asked.split('.').next() == Some(&machine.name)))
        .map(|asked| format!("instance \"{asked}\" does not exist"))
        .collect();
    if !errors.is_empty() {
        return Err(Failure::errors(&errors));
    }
    let taken = if version.has_snapshots() { snapshot::all()? } else { Vec::new() };
    let mut told = Map::new();
    for machine in machines.iter().filter(|machine| wanted(&machine.name)) {
        let own: Vec<&Snapshot> = taken.iter().filter(|snapshot| snapshot.machine == machine.name).collect();
        let value = if snapshots {
            json!({ "snapshots": details(&own, machine) })
        } else {
            instance(machine, own.len(), version, &Live::of(machine, version))
        };
        if format == Format::Table {
            println!(
                "Name:           {}\nState:          {}\nIPv4:           {}",
                machine.name,
                machine.state.text(),
                first(&value["ipv4"])
            );
        }
        told.insert(machine.name.clone(), value);
    }
    if format == Format::Table { Ok(()) } else { print(&json!({ "errors": [], "info": told })) }
}

fn first(addresses: &Value) -> &str {
    addresses[0].as_str().unwrap_or("--")
}

/// What only a machine that is on can say of itself.
#[derive(Debug, Default)]
struct Live {
    addresses: Vec<String>,
    release: String,
    load: Vec<f64>,
    disk_used: u64,
    memory_used: u64,
}

impl Live {
    fn of(machine: &Machine, version: &Version) -> Self {
        if machine.state != State::Running {
            return Self::default();
        }
        let script = "sed -n 's/^PRETTY_NAME=\"\\(.*\\)\"$/\\1/p' /etc/os-release; cut -d' ' -f1-3 /proc/loadavg; \
                      df -B1 --output=used / | tail -n 1; awk '/^MemTotal/ {t=$2} /^MemAvailable/ {a=$2} END {printf \"%.0f\\n\", (t-a)*1024}' /proc/meminfo";
        let told = docker::output(["exec", &machine.container, "sh", "-c", script]).unwrap_or_default();
        let mut lines = told.lines().map(str::trim);
        let mut line = || lines.next().unwrap_or_default().to_owned();
        Self {
            addresses: machine.addresses(version),
            release: line(),
            load: line().split(' ').filter_map(|load| load.parse().ok()).collect(),
            disk_used: line().parse().unwrap_or_default(),
            memory_used: line().parse().unwrap_or_default(),
        }
    }
}

fn instance(machine: &Machine, snapshots: usize, version: &Version, live: &Live) -> Value {
    let is_on = machine.state == State::Running;
    let total = |what| machine.asked(what).parse::<u64>().unwrap_or_default();
    let mut told = json!({
        "disks": { "sda1": if is_on { json!({ "total": total("disk").to_string(), "used": live.disk_used.min(total("disk")).to_string() }) } else { json!({}) } },
        "image_hash": "9dc27dbc8e78f28ea05f8ea86ebb8c5d4e6fd6ee1f6c7d4a0a0b47b2a3e0f3c1",
        "image_release": machine.asked("image"),
        "ipv4": live.addresses,
        "load": live.load,
        "memory": if is_on { json!({ "total": total("memory"), "used": live.memory_used }) } else { json!({}) },
        "mounts": {},
        "release": live.release,
        "state": machine.state.text(),
    });
    if version.tells_processors() {
        told["cpu_count"] = json!(if is_on { machine.asked("cpus") } else { "" });
    }
    if version.has_snapshots() {
        told["snapshot_count"] = json!(snapshots.to_string());
    }
    if version.has_zones() {
        told["zone"] = json!({ "available": true, "name": "zone1" });
    }
    told
}

fn details(snapshots: &[&Snapshot], machine: &Machine) -> Value {
    let children = |parent: &str| -> Vec<&str> {
        snapshots.iter().filter(|child| child.parent == parent).map(|child| child.name.as_str()).collect()
    };
    let told = snapshots.iter().map(|snapshot| {
        let value = json!({
            "children": children(&snapshot.name), "comment": snapshot.comment, "cpu_count": machine.asked("cpus"),
            "created": snapshot.created, "disk_space": machine.asked("disk"), "memory_size": machine.asked("memory"), "mounts": {},
            "parent": snapshot.parent, "size": "0",
        });
        (snapshot.name.clone(), value)
    });
    told.collect::<Map<_, _>>().into()
}

/// `list`.
pub(crate) fn list(format: Format, snapshots: bool, version: &Version, faults: &Faults) -> Result<(), Failure> {
    if snapshots {
        return list_snapshots(format);
    }
    let machines = machine::all(faults)?;
    if format == Format::Table {
        if machines.is_empty() {
            println!("No instances found.");
            return Ok(());
        }
        println!("{:<24}{:<18}{:<17}Image", "Name", "State", "IPv4");
        for machine in &machines {
            let address = machine.addresses(version).into_iter().next().unwrap_or_else(|| "--".to_owned());
            println!("{:<24}{:<18}{address:<17}Ubuntu {}", machine.name, machine.state.text(), machine.asked("image"));
        }
        return Ok(());
    }
    let told: Vec<Value> = machines.iter().map(|machine| listed(machine, &machine.addresses(version), version)).collect();
    print(&json!({ "list": told }))
}

fn listed(machine: &Machine, addresses: &[String], version: &Version) -> Value {
    let distribution = if version.names_distribution() { "Ubuntu " } else { "" };
    let release = format!("{distribution}{}", machine.asked("image"));
    let mut told = json!({ "ipv4": addresses, "name": machine.name, "release": release, "state": machine.state.text() });
    if version.has_zones() {
        told["zone"] = json!({ "available": true, "name": "zone1" });
    }
    told
}

fn list_snapshots(format: Format) -> Result<(), Failure> {
    let mut told = Map::new();
    for snapshot in snapshot::all()? {
        if format == Format::Table {
            println!("{:<24}{:<16}{:<12}{}", snapshot.machine, snapshot.name, snapshot.parent, snapshot.comment);
        }
        let of_machine = told.entry(snapshot.machine).or_insert_with(|| json!({}));
        of_machine[snapshot.name] = json!({ "comment": snapshot.comment, "parent": snapshot.parent });
    }
    if format == Format::Table { Ok(()) } else { print(&json!({ "errors": [], "info": told })) }
}

/// `get`.
pub(crate) fn get(key: &str) -> Result<(), Failure> {
    let value = match key {
        "local.driver" => "qemu",
        "local.privileged-mounts" => "true",
        "local.passphrase" | "local.bridged-network" => "<empty>",
        "client.primary-name" => "primary",
        _ => return Err(Failure::CommandLine(format!("Unrecognized settings key: '{key}'"))),
    };
    println!("{value}");
    Ok(())
}

/// `networks`.
pub(crate) fn networks(format: Format) -> Result<(), Failure> {
    if format == Format::Table {
        println!("No network interfaces found.");
        return Ok(());
    }
    print(&json!({ "list": [] }))
}

/// `find`.
pub(crate) fn find(format: Format) -> Result<(), Failure> {
    if format == Format::Table {
        println!("{:<28}{:<18}{:<17}Description", "Image", "Aliases", "Version");
        IMAGES.iter().for_each(|(names, release)| {
            println!("{:<28}{:<18}{:<17}Ubuntu {release}", names[0], names[1..].join(","), "20250731")
        });
        return Ok(());
    }
    let images = IMAGES.iter().map(|(names, release)| {
        let value = json!({ "aliases": names[1..], "os": "Ubuntu", "release": release, "remote": "", "version": "20250731" });
        (names[0].to_owned(), value)
    });
    print(&json!({ "errors": [], "images": images.collect::<Map<_, _>>() }))
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, path::Path};

    use super::*;

    /// What Multipass of this version printed.
    fn recorded(version: &str, name: &str) -> Value {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/multipass").join(version).join(name);
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    /// The keys of an object and the types of their values, all the way down.
    fn shape(value: &Value) -> Value {
        match value {
            Value::Object(fields) => fields.iter().map(|(key, value)| (key.clone(), shape(value))).collect::<Map<_, _>>().into(),
            Value::Array(values) => values.first().map(shape).into_iter().collect(),
            Value::String(_) => json!("text"),
            Value::Number(_) => json!("number"),
            Value::Bool(_) => json!("truth"),
            Value::Null => Value::Null,
        }
    }

    fn machine(state: State) -> Machine {
        let asked = [("cpus", "8"), ("memory", "21474836480"), ("disk", "53687091200"), ("image", "24.04 LTS")];
        let asked: BTreeMap<String, String> = asked.map(|(what, value)| (what.to_owned(), value.to_owned())).into();
        Machine { name: "box".to_owned(), container: String::new(), state, address: None, asked }
    }

    fn live() -> Live {
        let release = "Ubuntu 24.04.3 LTS".to_owned();
        Live { addresses: vec!["10.97.0.76".to_owned()], release, load: vec![0.04], disk_used: 1, memory_used: 1 }
    }

    #[test]
    fn a_machine_is_told_in_the_shape_that_its_version_has() {
        for text in ["1.8.1", "1.12.2", "1.16.1", "1.17.0-dev"] {
            let version = Version::read(text).unwrap();
            let mut recorded = recorded(text, "info.json")["info"]["box"].take();
            // What is mounted is no part of the shape.
            recorded["mounts"] = json!({});
            assert_eq!(shape(&instance(&machine(State::Running), 0, &version, &live())), shape(&recorded), "{text}");
        }
    }

    #[test]
    fn a_machine_that_is_not_on_has_nothing_to_say_of_itself() {
        let version = Version::read("1.16.1").unwrap();
        let recorded = recorded("1.16.1", "info-states.json");
        for state in [State::Stopped, State::Suspended, State::Starting, State::Deleted] {
            let mut told = instance(&machine(state), 0, &version, &Live::default());
            let recorded = &recorded["info"][state.text().to_lowercase()];
            told["image_hash"] = recorded["image_hash"].clone();
            assert_eq!(&told, recorded);
        }
    }

    #[test]
    fn a_listed_machine_has_the_shape_that_its_version_has() {
        for text in ["1.8.1", "1.12.2", "1.16.1", "1.17.0-dev"] {
            let version = Version::read(text).unwrap();
            let recorded = recorded(text, "list.json")["list"][0].take();
            let told = listed(&machine(State::Running), &["10.97.0.76".to_owned()], &version);
            assert_eq!(shape(&told), shape(&recorded), "{text}");
            let named = |told: &Value| told["release"].as_str().unwrap().starts_with("Ubuntu ");
            assert_eq!(named(&told), named(&recorded), "{text}");
        }
    }

    #[test]
    fn a_machine_without_an_address_is_told_as_its_version_does() {
        for text in ["1.10.1", "1.16.1", "1.17.0-dev"] {
            let recorded = recorded(text, "list-no-address.json")["list"][0]["ipv4"].take();
            assert_eq!(json!(machine(State::Running).addresses(&Version::read(text).unwrap())), recorded, "{text}");
        }
    }

    #[test]
    fn snapshots_are_told_in_the_real_ones_shape() {
        let taken = [("base", ""), ("later", "base")].map(|(name, parent)| Snapshot {
            machine: "box".to_owned(),
            name: name.to_owned(),
            comment: String::new(),
            parent: parent.to_owned(),
            created: "now".to_owned(),
        });
        let told = details(&taken.iter().collect::<Vec<_>>(), &machine(State::Stopped));
        let recorded = recorded("1.16.1", "info-snapshots.json")["info"]["box"]["snapshots"].take();
        assert_eq!((shape(&told), &told["base"]["children"]), (shape(&recorded), &json!(["later"])));
    }
}
