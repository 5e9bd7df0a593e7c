//! Cluster DNS, as the CoreDNS of K3s answers it.
