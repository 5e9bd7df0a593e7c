//! `k3s-arc versions`: the K3s releases that a matrix should run, and which of them this host can.

use k3s_arc_harness::{
    config::Config,
    report,
    versions::{Channels, Host, Matrix},
};

use crate::{
    Failed, PASSED, USAGE,
    arguments::{Output, Versions},
    progress,
};

pub(crate) async fn run(config: &Config, what: &Versions) -> Result<u8, Failed> {
    if what.resolve {
        let meant = config.clone().resolved().map_err(|error| (error.into(), USAGE))?;
        meant.iter().for_each(|config| progress::print(&config.k3s.to_string()));
        return Ok(PASSED);
    }
    let (channels, host) = futures::join!(Channels::look_up(config), Host::look());
    let matrix = Matrix::new(&channels, &host, usize::from(what.minors));
    progress::print(&match what.output {
        Output::Table => report::versions::table(&channels, &matrix, progress::width()),
        Output::Json => report::versions::json(&channels, &matrix),
    });
    Ok(PASSED)
}
