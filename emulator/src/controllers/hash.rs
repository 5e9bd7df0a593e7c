//! The hash of a pod template that names ReplicaSets and labels pods: FNV over what go-spew prints of the Go struct
//! (`pkg/controller/controller_utils.go`: `ComputeHash`, `pkg/util/hash`).

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::LazyLock;

use serde_json::Value;

use crate::kinds::view::text;

/// `= name what it is` for each named type that is no struct; then each struct with its fields in Go's order: name in Go, name in
/// JSON (`-` for an embedded struct), type. Printed by reflection over `PodTemplateSpec` of k8s.io/api v0.34.1.
const TYPES: &str = include_str!("template.txt");

struct Field {
    name: &'static str,
    json: &'static str,
    ty: &'static str,
}

static STRUCTS: LazyLock<HashMap<&'static str, Vec<Field>>> = LazyLock::new(|| {
    let mut structs: HashMap<&str, Vec<Field>> = HashMap::new();
    let mut current = "";
    for line in TYPES.lines().filter(|line| !line.starts_with('=')) {
        match line.strip_prefix(' ').map(|field| field.splitn(3, ' ').collect::<Vec<_>>()).as_deref() {
            Some(&[name, json, ty]) => structs.entry(current).or_default().push(Field { name, json, ty }),
            _ => {
                current = line;
                structs.entry(current).or_default();
            }
        }
    }
    structs
});

static NAMED: LazyLock<HashMap<&'static str, &'static str>> =
    LazyLock::new(|| TYPES.lines().filter_map(|line| line.strip_prefix("= ")?.split_once(' ')).collect());

/// The hash of a template; the count is of those that were tried and taken.
pub(super) fn of_template(template: &Value, collisions: Option<i64>) -> String {
    let mut printed = String::new();
    print(&mut printed, "v1.PodTemplateSpec", template);
    let mut hash = Fnv::NEW;
    hash.write_a(printed.as_bytes());
    if let Some(count) = collisions {
        let mut bytes = [0; 8];
        bytes[..4].copy_from_slice(&u32::try_from(count).unwrap_or_default().to_le_bytes());
        hash.write_a(&bytes);
    }
    hash.encoded()
}

/// The hash of a controller revision (`HashControllerRevision`).
pub(super) fn of_revision(data: &str, collisions: i64) -> String {
    let mut hash = Fnv::NEW;
    hash.write(data.as_bytes());
    hash.write(collisions.to_string().as_bytes());
    hash.encoded()
}

/// FNV-1 and FNV-1a of 32 bits.
struct Fnv(u32);

impl Fnv {
    const NEW: Self = Self(2_166_136_261);
    const PRIME: u32 = 16_777_619;

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.wrapping_mul(Self::PRIME) ^ u32::from(*byte);
        }
    }

    fn write_a(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u32::from(*byte)).wrapping_mul(Self::PRIME);
        }
    }

    /// In letters that make no words (`SafeEncodeString`).
    fn encoded(&self) -> String {
        const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
        self.0.to_string().bytes().map(|digit| char::from(LETTERS[usize::from(digit) % LETTERS.len()])).collect()
    }
}

/// A value with its type before it. The types say how deep this goes.
fn print(out: &mut String, ty: &str, value: &Value) {
    let _ = write!(out, "({ty})");
    match ty.strip_prefix('*') {
        Some(_) if value.is_null() => out.push_str("<nil>"),
        Some(pointed) => print_bare(out, pointed, value),
        None => print_bare(out, ty, value),
    }
}

/// The value alone.
fn print_bare(out: &mut String, ty: &str, value: &Value) {
    match ty {
        "resource.Quantity" => return quantity(out, text(value)),
        // A template's own times are never set.
        "v1.Time" => return out.push_str("{Time:(time.Time){wall:(uint64)0 ext:(int64)0 loc:(*time.Location)<nil>}}"),
        "v1.FieldsV1" => return out.push_str("{Raw:([]uint8)<nil>}"),
        "intstr.IntOrString" => {
            let (kind, number) = (u8::from(value.is_string()), value.as_i64().unwrap_or_default());
            let _ = write!(out, "{{Type:(intstr.Type){kind} IntVal:(int32){number} StrVal:(string){}}}", text(value));
            return;
        }
        _ => {}
    }
    if let Some(fields) = STRUCTS.get(ty) {
        out.push('{');
        for (i, field) in fields.iter().enumerate() {
            let space = if i == 0 { "" } else { " " };
            let _ = write!(out, "{space}{}:", field.name);
            print(out, field.ty, if field.json == "-" { value } else { &value[field.json] });
        }
        out.push('}');
        return;
    }
    let ty = NAMED.get(ty).copied().unwrap_or(ty);
    if let Some(item) = ty.strip_prefix("[]") {
        match value.as_array().filter(|items| !items.is_empty()) {
            None => out.push_str("<nil>"),
            Some(items) => {
                out.push('[');
                for (i, one) in items.iter().enumerate() {
                    if i > 0 {
                        out.push(' ');
                    }
                    print_bare(out, item, one);
                }
                out.push(']');
            }
        }
    } else if let Some((_, item)) = ty.strip_prefix("map[").and_then(|rest| rest.split_once(']')) {
        match value.as_object().filter(|entries| !entries.is_empty()) {
            None => out.push_str("<nil>"),
            Some(entries) => {
                out.push_str("map[");
                for (i, (key, one)) in entries.iter().enumerate() {
                    if i > 0 {
                        out.push(' ');
                    }
                    let _ = write!(out, "{key}:");
                    print_bare(out, item, one);
                }
                out.push(']');
            }
        }
    } else {
        match (ty, value) {
            (_, Value::String(text)) => out.push_str(text),
            (_, Value::Bool(_) | Value::Number(_)) => {
                let _ = write!(out, "{value}");
            }
            ("string", _) => {}
            ("bool", _) => out.push_str("false"),
            _ => out.push('0'),
        }
    }
}

/// A canonical quantity as Go keeps it once it has read it.
fn quantity(out: &mut String, text: &str) {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '-').unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let number: i64 = number.parse().unwrap_or_default();
    const DECIMAL: [(&str, i32); 10] =
        [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];
    const BINARY: [&str; 6] = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    let power = BINARY.iter().position(|unit| *unit == suffix).map(|power| power + 1);
    if let Some(power) = power {
        let bytes = number.saturating_mul(1 << (10 * power));
        // What may not fit is kept as a large decimal, of billionths.
        let digits = number.unsigned_abs().to_string().len();
        if digits + 3 * power > 14 {
            let (negative, nanos) = (bytes < 0, u128::from(bytes.unsigned_abs()) * 1_000_000_000);
            let (low, high) = (nanos & u128::from(u64::MAX), nanos >> 64);
            let _ = write!(
                out,
                "{{i:(resource.int64Amount){{value:(int64)0 scale:(resource.Scale)0}} d:(resource.infDecAmount){{Dec:(*inf.Dec)\
                 {{unscaled:(big.Int){{neg:(bool){negative} abs:(big.nat)[{low} {high}]}} scale:(inf.Scale)9}}}} s:(string) \
                 Format:(resource.Format)BinarySI}}"
            );
            return;
        }
        // Its text is remembered when that it is canonical is easily seen.
        return amount(out, bytes, 0, if number % 8 == 0 { "" } else { text }, "BinarySI");
    }
    match DECIMAL.iter().find(|(unit, _)| *unit == suffix) {
        Some((_, scale)) => amount(out, number, *scale, text, "DecimalSI"),
        None => amount(out, number, suffix.trim_start_matches(['e', 'E']).parse().unwrap_or_default(), text, "DecimalExponent"),
    }
}

fn amount(out: &mut String, value: i64, scale: i32, text: &str, format: &str) {
    let _ = write!(
        out,
        "{{i:(resource.int64Amount){{value:(int64){value} scale:(resource.Scale){scale}}} \
         d:(resource.infDecAmount){{Dec:(*inf.Dec)<nil>}} s:(string){text} Format:(resource.Format){format}}}"
    );
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn template(labels: &Value, resources: &Value) -> Value {
        json!({
            "metadata": {"labels": labels},
            "spec": {
                "containers": [{
                    "name": "c",
                    "image": "busybox",
                    "resources": resources,
                    "terminationMessagePath": "/dev/termination-log",
                    "terminationMessagePolicy": "File",
                    "imagePullPolicy": "Always",
                }],
                "restartPolicy": "Always",
                "terminationGracePeriodSeconds": 30,
                "dnsPolicy": "ClusterFirst",
                "securityContext": {},
                "schedulerName": "default-scheduler",
            },
        })
    }

    const QUANTITIES: [(&str, &str); 8] = [
        ("0", "cf8485c9c"),
        ("500m", "7df8cfdcbd"),
        ("1500M", "8697b4476d"),
        ("64Mi", "6989dd8887"),
        ("1Gi", "c4db84db9"),
        ("123Ti", "59649897cb"),
        ("2Ei", "76ff775cd6"),
        ("3e6", "7f845fb8ff"),
    ];

    #[test]
    fn templates_have_the_hashes_of_a_real_cluster() {
        assert_eq!(of_template(&template(&json!({"a": "dep0"}), &json!({})), None), "59b4469474");
        assert_eq!(of_template(&template(&json!({"a": "dep2"}), &json!({})), None), "7987b68f6");
        let limited = template(&json!({"a": "dep0"}), &json!({"limits": {"cpu": "100m", "memory": "1Mi"}}));
        assert_eq!(of_template(&limited, None), "967995bf9");
        assert_eq!(of_template(&limited, Some(3)), "7dc58bff44");
        for (quantity, hash) in QUANTITIES {
            let template = json!({"spec": {"containers": [{"resources": {"limits": {"q": quantity}}}]}});
            assert_eq!(of_template(&template, None), hash, "{quantity}");
        }
    }
}
