//! Which Docker Engine, where it is and who said so: as the docker command line finds it.
//!
//! Its order (<https://github.com/docker/cli/blob/v28.2.2/cli/command/cli.go>, `resolveContextName`): `DOCKER_HOST`, the context that
//! `DOCKER_CONTEXT` names, the one that `docker context use` has chosen, the usual socket. Where nothing is at that one, the sockets of rootless
//! Docker, Docker Desktop and Podman are looked at too, so that nobody must know where theirs is.

mod context;

use std::{
    ffi::OsString,
    fmt, io,
    path::{Path, PathBuf},
};

use http::Uri;

/// The usual socket.
const USUAL: &str = "/var/run/docker.sock";

/// The way to an engine.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Endpoint {
    /// As `DOCKER_HOST` has it: `unix:///var/run/docker.sock`, `tcp://10.0.0.7:2376`, `ssh://user@edge`.
    pub(crate) address: String,
    /// Where `ca.pem`, `cert.pem` and `key.pem` are, if the way is by TLS.
    pub(crate) tls: Option<PathBuf>,
    /// Who said that it is this one.
    pub(crate) chosen: Chosen,
}

/// Who said which engine it is.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) enum Chosen {
    /// `DOCKER_HOST`.
    Variable,
    /// A Docker context, named by a variable or a file.
    Context { name: String, by: String },
    /// Nobody: it is the usual socket.
    Usual,
    /// Nobody, and nothing is at the usual socket.
    Found,
}

impl fmt::Display for Chosen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable => f.write_str("by DOCKER_HOST"),
            Self::Context { name, by } => write!(f, "by the Docker context {name}, which {by} names"),
            Self::Usual => f.write_str("the usual socket"),
            Self::Found => write!(f, "found; nothing is at {USUAL}"),
        }
    }
}

/// An address, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Way {
    /// A socket of this host.
    Socket(PathBuf),
    /// A port, perhaps of another host.
    Tcp { host: String, port: u16 },
    /// By way of another host's `docker`, as its user.
    Ssh(Destination),
}

/// Where ssh leads to, and what its `docker` is to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Destination {
    pub(super) user: Option<String>,
    pub(super) host: String,
    pub(super) port: Option<u16>,
    /// The socket there, if it is not the one that `docker` finds itself.
    pub(super) socket: Option<String>,
}

/// Why it is not known which engine is meant.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum EndpointError {
    /// Not an address of an engine.
    #[error("{address} is no address of a Docker Engine: {problem}")]
    #[diagnostic(
        code(k3s_arc::docker::address),
        help(
            "such as unix:///var/run/docker.sock, tcp://10.0.0.7:2376 or ssh://user@host, in DOCKER_HOST or in the Docker context"
        )
    )]
    Address {
        /// What was given.
        address: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A context that is not there.
    #[error("there is no Docker context {name}, which {by} names")]
    #[diagnostic(code(k3s_arc::docker::context), help("`docker context ls` lists them; DOCKER_HOST goes before any"))]
    NoContext {
        /// Its name.
        name: String,
        /// Who names it.
        by: String,
    },
    /// A file of Docker's that cannot be read.
    #[error("{} cannot be read", .path.display())]
    #[diagnostic(code(k3s_arc::docker::config), help("name the engine in DOCKER_HOST, or mend the file"))]
    File {
        /// Which.
        path: PathBuf,
        /// What came back.
        source: io::Error,
    },
    /// TLS, and whoever answers is to be believed.
    #[error("the Docker Engine at {address} is to be reached by TLS without asking who answers ({by})")]
    #[diagnostic(
        code(k3s_arc::docker::unverified),
        help(
            "set DOCKER_TLS_VERIFY=1 with the engine's ca.pem in DOCKER_CERT_PATH, or give the context its CA (`docker context update`)"
        )
    )]
    Unverified {
        /// Where it is.
        address: String,
        /// Who says so.
        by: String,
    },
}

/// The variables that say which engine it is.
pub(super) struct Environment<'a>(pub(super) &'a dyn Fn(&str) -> Option<OsString>);

impl Environment<'_> {
    /// One that is set to something.
    fn value(&self, name: &str) -> Option<OsString> {
        (self.0)(name).filter(|value| !value.is_empty())
    }

    fn text(&self, name: &str) -> Option<String> {
        self.value(name).map(|value| value.to_string_lossy().into_owned())
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        self.value(name).map(PathBuf::from)
    }

    /// Where Docker's command line keeps its configuration: <https://docs.docker.com/reference/cli/docker/#environment-variables>.
    fn config(&self) -> Option<PathBuf> {
        self.path("DOCKER_CONFIG").or_else(|| Some(self.path("HOME")?.join(".docker")))
    }
}

impl Endpoint {
    /// The one that this process is to use.
    pub(super) fn choose() -> Result<Self, EndpointError> {
        Self::of(&Environment(&|name| std::env::var_os(name)), &|path| path.exists())
    }

    fn of(environment: &Environment<'_>, exists: &dyn Fn(&Path) -> bool) -> Result<Self, EndpointError> {
        if let Some(address) = environment.text("DOCKER_HOST") {
            let tls = tls_of_variables(environment, &address)?;
            return Ok(Self { address, tls, chosen: Chosen::Variable });
        }
        if let Some(endpoint) = context::chosen(environment)? {
            return Ok(endpoint);
        }
        let socket = |path: &Path| format!("unix://{}", path.display());
        if !exists(Path::new(USUAL))
            && let Some(path) = others(environment).into_iter().find(|path| exists(path))
        {
            return Ok(Self { address: socket(&path), tls: None, chosen: Chosen::Found });
        }
        Ok(Self { address: socket(Path::new(USUAL)), tls: None, chosen: Chosen::Usual })
    }

    /// The address, taken apart.
    pub(super) fn way(&self) -> Result<Way, EndpointError> {
        let no_address = |problem| EndpointError::Address { address: self.address.clone(), problem };
        let (scheme, rest) = self.address.split_once("://").unwrap_or(("tcp", &self.address));
        if scheme == "unix" {
            return if rest.starts_with('/') {
                Ok(Way::Socket(rest.into()))
            } else {
                Err(no_address("a socket has a whole path"))
            };
        }
        if scheme == "npipe" {
            return Err(no_address("named pipes are of Windows"));
        }
        let uri: Uri = format!("{scheme}://{rest}").parse().map_err(|_| no_address("it is no URL"))?;
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(|| no_address("it names no host"))?;
        let host = host.trim_matches(['[', ']']).to_owned();
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let user = authority.rsplit_once('@').map(|(user, _)| user.to_owned());
        match scheme {
            "tcp" | "http" | "https" => {
                // As Docker has it: https://docs.docker.com/reference/cli/dockerd/#daemon-socket-option.
                let usual = if self.tls.is_some() { 2376 } else { 2375 };
                Ok(Way::Tcp { host, port: uri.port_u16().unwrap_or(usual) })
            }
            "ssh" if user.as_ref().is_some_and(|user| user.contains(':')) => Err(no_address("ssh takes no password in it")),
            // What begins so would be an option to ssh.
            "ssh" if host.starts_with('-') || user.as_ref().is_some_and(|user| user.starts_with('-')) => {
                Err(no_address("no host or user begins with a hyphen"))
            }
            "ssh" => {
                let socket = Some(uri.path()).filter(|path| path.len() > 1).map(str::to_owned);
                Ok(Way::Ssh(Destination { user, host, port: uri.port_u16(), socket }))
            }
            _ => Err(no_address("its scheme is none of unix, tcp and ssh")),
        }
    }

    /// Whether testcontainers takes the same one: it knows `DOCKER_HOST` and the usual socket, and TLS by both of its variables.
    pub(super) fn is_found_by_testcontainers(&self) -> bool {
        let by_tls = std::env::var_os("DOCKER_TLS_VERIFY").is_some_and(|value| value == "1");
        let is_encrypted_alike = match &self.tls {
            Some(_) => by_tls && std::env::var_os("DOCKER_CERT_PATH").is_some(),
            None => !by_tls || self.is_socket(),
        };
        let is_known = matches!(self.chosen, Chosen::Variable | Chosen::Usual) && self.address.contains("://");
        is_known && is_encrypted_alike && !matches!(self.way(), Ok(Way::Ssh(_)))
    }

    /// What a person begins a command with that is about this engine, in whatever shell.
    pub(super) fn command(&self) -> String {
        match (&self.chosen, &self.tls) {
            (Chosen::Usual, _) => "docker".to_owned(),
            (Chosen::Context { name, .. }, _) => format!("docker --context {name}"),
            (_, None) => format!("docker --host {}", self.address),
            (_, Some(tls)) => {
                format!("DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH={} docker --host {}", tls.display(), self.address)
            }
        }
    }

    /// Whether it is another than most people would expect.
    pub(super) fn is_worth_telling(&self) -> bool {
        self.chosen != Chosen::Usual
    }

    /// Whether the engine is looked for at a socket of this host.
    pub(super) fn is_socket(&self) -> bool {
        matches!(self.way(), Ok(Way::Socket(_)))
    }
}

/// Where others than the usual engine listen.
fn others(environment: &Environment<'_>) -> Vec<PathBuf> {
    let home = environment.path("HOME");
    let runtime = environment.path("XDG_RUNTIME_DIR");
    let below = |directory: &Option<PathBuf>, path: &str| directory.as_ref().map(|directory| directory.join(path));
    [
        // Docker Desktop's, on macOS and on Linux: https://docs.docker.com/desktop/troubleshoot-and-support/faqs/.
        below(&home, ".docker/run/docker.sock"),
        below(&home, ".docker/desktop/docker.sock"),
        // Rootless Docker's: https://docs.docker.com/engine/security/rootless/tips/#client.
        below(&runtime, "docker.sock"),
        // Podman's, of root and of a user: https://docs.podman.io/en/latest/markdown/podman-system-service.1.html.
        Some(PathBuf::from("/run/podman/podman.sock")),
        below(&runtime, "podman/podman.sock"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// By TLS, if the variables say so: <https://docs.docker.com/reference/cli/docker/#environment-variables>.
fn tls_of_variables(environment: &Environment<'_>, address: &str) -> Result<Option<PathBuf>, EndpointError> {
    let is_asked_for = environment.value("DOCKER_TLS_VERIFY").is_some() || address.starts_with("https:");
    if !is_asked_for && environment.value("DOCKER_TLS").is_some() {
        return Err(EndpointError::Unverified { address: address.to_owned(), by: "DOCKER_TLS".to_owned() });
    }
    // What other processes of a run, and its reaper, know too, wherever they are started.
    let whole = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
    let directory = environment.path("DOCKER_CERT_PATH").or_else(|| environment.config()).map(whole);
    let is_tcp = !address.starts_with("unix:") && !address.starts_with("ssh:");
    Ok(directory.filter(|_| is_asked_for && is_tcp))
}

#[cfg(test)]
mod tests;
