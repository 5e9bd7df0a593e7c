//! The limits of a container, for who watches over them.

use std::sync::Arc;

use k3s_arc_container::{Cpu, Memory};
use serde_json::Value;

use crate::kinds::quantity::Quantity;

/// What a container may use, of `resources.limits`.
pub(crate) fn limits(container: &Value) -> (Arc<Memory>, Arc<Cpu>) {
    let limits = &container["resources"]["limits"];
    let memory = match u64::try_from(Quantity::of(&limits["memory"]).value()) {
        Ok(bytes) if bytes > 0 => Memory::limited(bytes),
        _ => Memory::unlimited(),
    };
    let cpu = match u64::try_from(Quantity::of(&limits["cpu"]).milli_value()) {
        Ok(millicores) if millicores > 0 => Cpu::limited(millicores),
        _ => Cpu::unlimited(),
    };
    (Arc::new(memory), Arc::new(cpu))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case(json!({}), None, None)]
    #[case(json!({"memory": "2Gi", "cpu": "1800m"}), Some(2 << 30), Some(180_000))]
    #[case(json!({"memory": "0", "cpu": "5m"}), None, Some(1000))]
    fn limits_of_containers(#[case] limits: Value, #[case] memory: Option<u64>, #[case] quota: Option<u64>) {
        let (found, cpu) = super::limits(&json!({"resources": {"limits": limits}}));
        assert_eq!((found.limit(), cpu.quota_us()), (memory, quota));
    }
}
