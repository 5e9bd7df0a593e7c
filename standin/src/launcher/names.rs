//! The names of one launch: all of the same moment.

use k8s_openapi::jiff::Timestamp;

/// The names of one launch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Names {
    /// The connected cluster in Azure: `cc<epoch>`.
    pub(super) connected_cluster: String,
    /// The DataController: `dc<epoch>`.
    pub(super) data_controller: String,
    /// The namespace of the data services: `ns<epoch>`.
    pub(super) namespace: String,
}

impl Names {
    /// The names of a launch at this moment.
    pub(super) fn at(moment: Timestamp) -> Self {
        let epoch = moment.as_second();
        Self { connected_cluster: format!("cc{epoch}"), data_controller: format!("dc{epoch}"), namespace: format!("ns{epoch}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_carry_the_seconds_since_1970() {
        let names = Names::at(Timestamp::new(1_700_000_000, 999_999_999).unwrap());
        assert_eq!(names.connected_cluster, "cc1700000000");
        assert_eq!(names.data_controller, "dc1700000000");
        assert_eq!(names.namespace, "ns1700000000");
    }
}
