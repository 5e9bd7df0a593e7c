//! An emulated K3s that serves until it is told to stop: what `k3s-arc up --provider emulator` starts.

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use k3s_arc_emulator::{Emulator, StartError};

use super::NODES;
use crate::{
    cluster::{Run, RunError, lease::KUBECONFIG, run::write_private},
    config::Config,
    image::{self, Standin},
};

/// Why there is no emulated cluster.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum ServingError {
    /// Its run could not be begun.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Run(#[from] RunError),
    /// The emulator did not start.
    #[error("the emulator did not start")]
    #[diagnostic(code(k3s_arc::emulator), help("name another port with --port, or none for a free one"))]
    Start(#[from] StartError),
    /// Its kubeconfig could not be written.
    #[error("the kubeconfig {} could not be written", .path.display())]
    #[diagnostic(code(k3s_arc::emulator), help("name another file with --write-kubeconfig"))]
    Kubeconfig {
        /// Which.
        path: PathBuf,
        /// What came back.
        source: io::Error,
    },
}

/// An emulated cluster, served by this process.
#[derive(Debug)]
pub struct Serving {
    run: Run,
    emulator: Emulator,
    kubeconfig: PathBuf,
    standin_image: String,
}

impl Serving {
    /// Starts one at a port of 127.0.0.1 (0: a free one) and writes its kubeconfig, readable by this user alone: to a file,
    /// or into the run's directory.
    ///
    /// # Errors
    /// [`ServingError`].
    pub async fn start(config: &Config, port: u16, kubeconfig: Option<PathBuf>) -> Result<Self, ServingError> {
        if let Some(path) = kubeconfig.as_ref().filter(|path| path.exists()) {
            // It may lead to other clusters too, and would be removed at the end.
            return Err(ServingError::Kubeconfig { path: path.clone(), source: io::ErrorKind::AlreadyExists.into() });
        }
        let run = Run::serving(config)?;
        let standin_image = Standin::emulated_reference(config.standin_image.as_deref());
        let builder = Emulator::builder()
            .address(SocketAddr::from(([127, 0, 0, 1], port)))
            .root(run.directory().join(NODES))
            .image(&standin_image, image::emulated());
        let emulator = match builder.start().await {
            Ok(emulator) => emulator,
            Err(error) => {
                run.remove().await;
                return Err(error.into());
            }
        };
        let path = kubeconfig.unwrap_or_else(|| run.directory().join(KUBECONFIG));
        if let Err(source) = write_private(&path, emulator.kubeconfig().as_bytes()) {
            run.remove().await;
            return Err(ServingError::Kubeconfig { path, source });
        }
        Ok(Self { run, emulator, kubeconfig: path, standin_image })
    }

    /// The run's id, by which `k3s-arc down` ends it.
    pub fn id(&self) -> &str {
        self.run.id()
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        self.emulator.url()
    }

    /// The kubeconfig of its administrator.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The stand-in's image, which it has without a pull: what a launcher's tree must name in place of Microsoft's.
    pub fn standin_image(&self) -> &str {
        &self.standin_image
    }

    /// Ends it, and removes what it made: its kubeconfig too, unless somebody has written another there since.
    pub async fn stop(self) {
        let ours = fs::read_to_string(&self.kubeconfig).is_ok_and(|text| text == self.emulator.kubeconfig());
        if ours {
            // A file that cannot be removed leads nowhere now.
            let _ = fs::remove_file(&self.kubeconfig);
        }
        self.emulator.stop().await;
        self.run.remove().await;
    }
}
