//! CEL's own operators and functions, optional values and sets, and Kubernetes' libraries (`apiserver/pkg/cel/library`).

use std::cmp::Ordering;
use std::net::IpAddr;
use std::sync::Arc;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::functions::Run;
use super::strings::{int_at, plain, str_at};
use super::value::{Val, parse_duration};
use super::{Budget, Fault};
use crate::custom::formats;
use crate::kinds::names;
pub(crate) use crate::kinds::quantity::Quantity;

type Result<'a> = std::result::Result<Val<'a>, Fault>;

pub(super) const CORE: &[(&str, Run)] = &[
    ("!_(bool)->bool", |a, _| Ok(Val::Bool(!is_true(&a[0])))),
    ("-_(int)->int", |a, _| int_at(a, 0).and_then(i64::checked_neg).map(Val::Int).ok_or_else(overflow)),
    ("-_(double)->double", |a, _| Ok(Val::Double(-double(&a[0])))),
    ("_==_(A, A)->bool", |a, b| equal(a, b)),
    ("_!=_(A, A)->bool", |a, b| equal(a, b).map(|v| Val::Bool(!is_true(&v)))),
    ("_+_(int, int)->int", arithmetic_add),
    ("_+_(uint, uint)->uint", arithmetic_add),
    ("_+_(double, double)->double", arithmetic_add),
    ("_+_(string, string)->string", arithmetic_add),
    ("_+_(bytes, bytes)->bytes", arithmetic_add),
    ("_+_(list(A), list(A))->list(A)", add_lists),
    ("_+_(timestamp, duration)->timestamp", arithmetic_add),
    ("_+_(duration, timestamp)->timestamp", arithmetic_add),
    ("_+_(duration, duration)->duration", arithmetic_add),
    ("_-_(int, int)->int", subtract),
    ("_-_(uint, uint)->uint", subtract),
    ("_-_(double, double)->double", subtract),
    ("_-_(timestamp, timestamp)->duration", subtract),
    ("_-_(timestamp, duration)->timestamp", subtract),
    ("_-_(duration, duration)->duration", subtract),
    ("_*_(int, int)->int", multiply),
    ("_*_(uint, uint)->uint", multiply),
    ("_*_(double, double)->double", multiply),
    ("_/_(int, int)->int", divide),
    ("_/_(uint, uint)->uint", divide),
    ("_/_(double, double)->double", divide),
    ("_%_(int, int)->int", modulo),
    ("_%_(uint, uint)->uint", modulo),
    ("_<_(bool, bool)->bool", less),
    ("_<_(int, int)->bool", less),
    ("_<_(uint, uint)->bool", less),
    ("_<_(double, double)->bool", less),
    ("_<_(int, double)->bool", less),
    ("_<_(int, uint)->bool", less),
    ("_<_(uint, double)->bool", less),
    ("_<_(uint, int)->bool", less),
    ("_<_(double, int)->bool", less),
    ("_<_(double, uint)->bool", less),
    ("_<_(string, string)->bool", less),
    ("_<_(bytes, bytes)->bool", less),
    ("_<_(timestamp, timestamp)->bool", less),
    ("_<_(duration, duration)->bool", less),
    ("_<=_(bool, bool)->bool", no_more),
    ("_<=_(int, int)->bool", no_more),
    ("_<=_(uint, uint)->bool", no_more),
    ("_<=_(double, double)->bool", no_more),
    ("_<=_(int, double)->bool", no_more),
    ("_<=_(int, uint)->bool", no_more),
    ("_<=_(uint, double)->bool", no_more),
    ("_<=_(uint, int)->bool", no_more),
    ("_<=_(double, int)->bool", no_more),
    ("_<=_(double, uint)->bool", no_more),
    ("_<=_(string, string)->bool", no_more),
    ("_<=_(bytes, bytes)->bool", no_more),
    ("_<=_(timestamp, timestamp)->bool", no_more),
    ("_<=_(duration, duration)->bool", no_more),
    ("_>_(bool, bool)->bool", more),
    ("_>_(int, int)->bool", more),
    ("_>_(uint, uint)->bool", more),
    ("_>_(double, double)->bool", more),
    ("_>_(int, double)->bool", more),
    ("_>_(int, uint)->bool", more),
    ("_>_(uint, double)->bool", more),
    ("_>_(uint, int)->bool", more),
    ("_>_(double, int)->bool", more),
    ("_>_(double, uint)->bool", more),
    ("_>_(string, string)->bool", more),
    ("_>_(bytes, bytes)->bool", more),
    ("_>_(timestamp, timestamp)->bool", more),
    ("_>_(duration, duration)->bool", more),
    ("_>=_(bool, bool)->bool", no_less),
    ("_>=_(int, int)->bool", no_less),
    ("_>=_(uint, uint)->bool", no_less),
    ("_>=_(double, double)->bool", no_less),
    ("_>=_(int, double)->bool", no_less),
    ("_>=_(int, uint)->bool", no_less),
    ("_>=_(uint, double)->bool", no_less),
    ("_>=_(uint, int)->bool", no_less),
    ("_>=_(double, int)->bool", no_less),
    ("_>=_(double, uint)->bool", no_less),
    ("_>=_(string, string)->bool", no_less),
    ("_>=_(bytes, bytes)->bool", no_less),
    ("_>=_(timestamp, timestamp)->bool", no_less),
    ("_>=_(duration, duration)->bool", no_less),
    ("@in(A, list(A))->bool", within_list),
    ("@in(A, map(A, B))->bool", |a, _| Ok(Val::Bool(a[1].entry(&a[0])?.is_some()))),
    ("size(string)->int", size),
    ("size(bytes)->int", size),
    ("size(list(A))->int", size),
    ("size(map(A, B))->int", size),
    (".string.size()->int", size),
    (".bytes.size()->int", size),
    (".list(A).size()->int", size),
    (".map(A, B).size()->int", size),
    ("type(A)->type(A)", |a, _| Ok(Val::Type(a[0].kind()))),
    ("dyn(A)->dyn", |a, _| Ok(a[0].clone())),
    ("bool(bool)->bool", |a, _| Ok(a[0].clone())),
    ("bool(string)->bool", |a, _| match str_at(a, 0) {
        "1" | "t" | "true" | "TRUE" | "True" => Ok(Val::Bool(true)),
        "0" | "f" | "false" | "FALSE" | "False" => Ok(Val::Bool(false)),
        _ => Err(conversion("bool")),
    }),
    ("int(int)->int", to_int),
    ("int(uint)->int", to_int),
    ("int(double)->int", to_int),
    ("int(string)->int", to_int),
    ("int(timestamp)->int", to_int),
    ("int(duration)->int", to_int),
    ("uint(uint)->uint", to_uint),
    ("uint(int)->uint", to_uint),
    ("uint(double)->uint", to_uint),
    ("uint(string)->uint", to_uint),
    ("double(double)->double", to_double),
    ("double(int)->double", to_double),
    ("double(uint)->double", to_double),
    ("double(string)->double", to_double),
    ("string(string)->string", to_string),
    ("string(bool)->string", to_string),
    ("string(int)->string", to_string),
    ("string(uint)->string", to_string),
    ("string(double)->string", to_string),
    ("string(bytes)->string", to_string),
    ("string(timestamp)->string", to_string),
    ("string(duration)->string", to_string),
    ("string(ip)->string", to_string),
    ("string(cidr)->string", to_string),
    ("bytes(bytes)->bytes", |a, _| Ok(a[0].clone())),
    ("bytes(string)->bytes", |a, _| Ok(Val::Bytes(str_at(a, 0).as_bytes().into()))),
    ("timestamp(timestamp)->timestamp", |a, _| Ok(a[0].clone())),
    ("timestamp(int)->timestamp", |a, _| {
        Timestamp::from_second(int_at(a, 0).unwrap_or(0)).map(Val::Timestamp).map_err(|_| overflow())
    }),
    ("timestamp(string)->timestamp", |a, _| {
        str_at(a, 0).parse().map(Val::Timestamp).map_err(|_| conversion("google.protobuf.Timestamp"))
    }),
    ("duration(duration)->duration", |a, _| Ok(a[0].clone())),
    ("duration(int)->duration", |a, _| {
        int_at(a, 0).and_then(|s| s.checked_mul(1_000_000_000)).map(Val::Duration).ok_or_else(overflow)
    }),
    ("duration(string)->duration", |a, _| {
        parse_duration(str_at(a, 0)).map(Val::Duration).ok_or_else(|| conversion("google.protobuf.Duration"))
    }),
    (".timestamp.getFullYear()->int", |a, _| part(a, |d| d.year().into())),
    (".timestamp.getFullYear(string)->int", |a, _| part(a, |d| d.year().into())),
    (".timestamp.getMonth()->int", |a, _| part(a, |d| i64::from(d.month()) - 1)),
    (".timestamp.getMonth(string)->int", |a, _| part(a, |d| i64::from(d.month()) - 1)),
    (".timestamp.getDate()->int", |a, _| part(a, |d| d.day().into())),
    (".timestamp.getDate(string)->int", |a, _| part(a, |d| d.day().into())),
    (".timestamp.getDayOfMonth()->int", |a, _| part(a, |d| i64::from(d.day()) - 1)),
    (".timestamp.getDayOfMonth(string)->int", |a, _| part(a, |d| i64::from(d.day()) - 1)),
    (".timestamp.getDayOfWeek()->int", |a, _| part(a, |d| d.weekday().to_sunday_zero_offset().into())),
    (".timestamp.getDayOfWeek(string)->int", |a, _| part(a, |d| d.weekday().to_sunday_zero_offset().into())),
    (".timestamp.getDayOfYear()->int", |a, _| part(a, |d| i64::from(d.day_of_year()) - 1)),
    (".timestamp.getDayOfYear(string)->int", |a, _| part(a, |d| i64::from(d.day_of_year()) - 1)),
    (".timestamp.getHours()->int", |a, _| part(a, |d| d.hour().into())),
    (".timestamp.getHours(string)->int", |a, _| part(a, |d| d.hour().into())),
    (".timestamp.getMinutes()->int", |a, _| part(a, |d| d.minute().into())),
    (".timestamp.getMinutes(string)->int", |a, _| part(a, |d| d.minute().into())),
    (".timestamp.getSeconds()->int", |a, _| part(a, |d| d.second().into())),
    (".timestamp.getSeconds(string)->int", |a, _| part(a, |d| d.second().into())),
    (".timestamp.getMilliseconds()->int", |a, _| part(a, |d| d.millisecond().into())),
    (".timestamp.getMilliseconds(string)->int", |a, _| part(a, |d| d.millisecond().into())),
    (".duration.getHours()->int", |a, _| Ok(Val::Int(nanos(&a[0]) / 3_600_000_000_000))),
    (".duration.getMinutes()->int", |a, _| Ok(Val::Int(nanos(&a[0]) / 60_000_000_000))),
    (".duration.getSeconds()->int", |a, _| Ok(Val::Int(nanos(&a[0]) / 1_000_000_000))),
    (".duration.getMilliseconds()->int", |a, _| Ok(Val::Int(nanos(&a[0]) / 1_000_000 % 1000))),
    ("optional.of(A)->optional(A)", |a, _| Ok(Val::some(a[0].clone()))),
    ("optional.ofNonZeroValue(A)->optional(A)", |a, _| {
        Ok(if is_zero(&a[0]) { Val::Optional(None) } else { Val::some(a[0].clone()) })
    }),
    ("optional.none()->optional(A)", |_, _| Ok(Val::Optional(None))),
    (".optional(A).hasValue()->bool", |a, _| Ok(Val::Bool(matches!(a[0], Val::Optional(Some(_)))))),
    (".optional(A).value()->A", |a, _| match &a[0] {
        Val::Optional(Some(value)) => Ok(value.as_ref().clone()),
        _ => Err(Fault::new("optional.none() dereference")),
    }),
    (".optional(A).or(optional(A))->optional(A)", |a, _| {
        Ok(if matches!(a[0], Val::Optional(Some(_))) { a[0].clone() } else { a[1].clone() })
    }),
    (".optional(A).orValue(A)->A", |a, _| match &a[0] {
        Val::Optional(Some(value)) => Ok(value.as_ref().clone()),
        _ => Ok(a[1].clone()),
    }),
    ("optional.unwrap(list(optional(A)))->list(A)", unwrap),
    (".list(optional(A)).unwrapOpt()->list(A)", unwrap),
    (".list(A).first()->optional(A)", |a, _| Ok(list(a, 0)?.first().cloned().map_or(Val::Optional(None), Val::some))),
    (".list(A).last()->optional(A)", |a, _| Ok(list(a, 0)?.last().cloned().map_or(Val::Optional(None), Val::some))),
    ("sets.contains(list(A), list(A))->bool", |a, b| {
        let (all, some) = pair(a, b)?;
        Ok(Val::Bool(some.iter().all(|x| all.iter().any(|y| x.equals(y)))))
    }),
    ("sets.equivalent(list(A), list(A))->bool", |a, b| {
        let (x, y) = pair(a, b)?;
        let within = |one: &[Val<'_>], all: &[Val<'_>]| one.iter().all(|a| all.iter().any(|b| a.equals(b)));
        Ok(Val::Bool(within(&x, &y) && within(&y, &x)))
    }),
    ("sets.intersects(list(A), list(A))->bool", |a, b| {
        let (x, y) = pair(a, b)?;
        Ok(Val::Bool(x.iter().any(|a| y.iter().any(|b| a.equals(b)))))
    }),
];

pub(super) const KUBERNETES: &[(&str, Run)] = &[
    (".list(int).isSorted()->bool", is_sorted),
    (".list(uint).isSorted()->bool", is_sorted),
    (".list(double).isSorted()->bool", is_sorted),
    (".list(bool).isSorted()->bool", is_sorted),
    (".list(duration).isSorted()->bool", is_sorted),
    (".list(timestamp).isSorted()->bool", is_sorted),
    (".list(string).isSorted()->bool", is_sorted),
    (".list(bytes).isSorted()->bool", is_sorted),
    (".list(int).sum()->int", sum),
    (".list(uint).sum()->uint", sum),
    (".list(double).sum()->double", sum),
    (".list(duration).sum()->duration", sum),
    (".list(int).min()->int", |a, b| extreme(a, b, Ordering::Less)),
    (".list(uint).min()->uint", |a, b| extreme(a, b, Ordering::Less)),
    (".list(double).min()->double", |a, b| extreme(a, b, Ordering::Less)),
    (".list(bool).min()->bool", |a, b| extreme(a, b, Ordering::Less)),
    (".list(duration).min()->duration", |a, b| extreme(a, b, Ordering::Less)),
    (".list(timestamp).min()->timestamp", |a, b| extreme(a, b, Ordering::Less)),
    (".list(string).min()->string", |a, b| extreme(a, b, Ordering::Less)),
    (".list(bytes).min()->bytes", |a, b| extreme(a, b, Ordering::Less)),
    (".list(int).max()->int", |a, b| extreme(a, b, Ordering::Greater)),
    (".list(uint).max()->uint", |a, b| extreme(a, b, Ordering::Greater)),
    (".list(double).max()->double", |a, b| extreme(a, b, Ordering::Greater)),
    (".list(bool).max()->bool", |a, b| extreme(a, b, Ordering::Greater)),
    (".list(duration).max()->duration", |a, b| extreme(a, b, Ordering::Greater)),
    (".list(timestamp).max()->timestamp", |a, b| extreme(a, b, Ordering::Greater)),
    (".list(string).max()->string", |a, b| extreme(a, b, Ordering::Greater)),
    (".list(bytes).max()->bytes", |a, b| extreme(a, b, Ordering::Greater)),
    (".list(A).indexOf(A)->int", |a, b| list_index(a, b, false)),
    (".list(A).lastIndexOf(A)->int", |a, b| list_index(a, b, true)),
    ("url(string)->url", |a, _| match Url::parse(str_at(a, 0)) {
        Ok(url) => Ok(Val::Url(Arc::new(url))),
        Err(why) => Err(Fault::new(format!("URL parse error during conversion from string: {why}"))),
    }),
    ("isURL(string)->bool", |a, _| Ok(Val::Bool(Url::parse(str_at(a, 0)).is_ok()))),
    (".url.getScheme()->string", |a, _| url(a, |u| u.scheme.clone())),
    (".url.getHost()->string", |a, _| url(a, |u| u.host.clone())),
    (".url.getHostname()->string", |a, _| url(a, |u| u.hostname().to_owned())),
    (".url.getPort()->string", |a, _| url(a, |u| u.port().to_owned())),
    (".url.getEscapedPath()->string", |a, _| url(a, |u| u.path.clone())),
    (".url.getQuery()->map(string, list(string))", |a, _| match &a[0] {
        Val::Url(url) => Ok(url.query_map()),
        _ => Err(Fault::no_overload()),
    }),
    ("ip(string)->ip", |a, _| {
        let text = str_at(a, 0);
        parse_ip(text).map(Val::Ip).map_err(|why| {
            Fault::new(format!("IP Address {why} during conversion from string: ParseAddr({})", crate::field::quote(text)))
        })
    }),
    ("isIP(string)->bool", |a, _| Ok(Val::Bool(parse_ip(str_at(a, 0)).is_ok()))),
    ("ip.isCanonical(string)->bool", |a, _| {
        let text = str_at(a, 0);
        match parse_ip(text) {
            Ok(ip) => Ok(Val::Bool(ip.to_string() == text)),
            Err(why) => Err(Fault::new(format!(
                "IP Address {why} during conversion from string: ParseAddr({})",
                crate::field::quote(text)
            ))),
        }
    }),
    (".ip.family()->int", |a, _| Ok(Val::Int(if ip(a).is_ipv4() { 4 } else { 6 }))),
    (".ip.isUnspecified()->bool", |a, _| Ok(Val::Bool(ip(a).is_unspecified()))),
    (".ip.isLoopback()->bool", |a, _| Ok(Val::Bool(ip(a).is_loopback()))),
    (".ip.isLinkLocalMulticast()->bool", |a, _| {
        Ok(Val::Bool(match ip(a) {
            IpAddr::V4(v4) => v4.octets()[..3] == [224, 0, 0],
            IpAddr::V6(v6) => v6.segments()[0] & 0xff0f == 0xff02,
        }))
    }),
    (".ip.isLinkLocalUnicast()->bool", |a, _| Ok(Val::Bool(link_local(ip(a))))),
    (".ip.isGlobalUnicast()->bool", |a, _| {
        let ip = ip(a);
        let broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
        Ok(Val::Bool(!ip.is_unspecified() && !ip.is_loopback() && !ip.is_multicast() && !link_local(ip) && !broadcast))
    }),
    ("cidr(string)->cidr", |a, _| {
        parse_cidr(str_at(a, 0)).map(|(ip, bits)| Val::Cidr(ip, bits)).ok_or_else(|| {
            Fault::new(format!(
                "network address parse error during conversion from string: netip.ParsePrefix({})",
                crate::field::quote(str_at(a, 0))
            ))
        })
    }),
    ("isCIDR(string)->bool", |a, _| Ok(Val::Bool(parse_cidr(str_at(a, 0)).is_some()))),
    (".cidr.containsIP(string)->bool", |a, _| {
        let ip = parse_ip(str_at(a, 1)).map_err(|why| Fault::new(format!("IP address {why}")))?;
        Ok(Val::Bool(contains(cidr(a, 0), ip, full(ip))))
    }),
    (".cidr.containsIP(ip)->bool", |a, _| match &a[1] {
        Val::Ip(ip) => Ok(Val::Bool(contains(cidr(a, 0), *ip, full(*ip)))),
        _ => Err(Fault::no_overload()),
    }),
    (".cidr.containsCIDR(string)->bool", |a, _| match parse_cidr(str_at(a, 1)) {
        Some((ip, bits)) => Ok(Val::Bool(contains(cidr(a, 0), ip, bits))),
        None => Err(Fault::new("network address parse error during conversion from string")),
    }),
    (".cidr.containsCIDR(cidr)->bool", |a, _| {
        let (ip, bits) = cidr(a, 1);
        Ok(Val::Bool(contains(cidr(a, 0), ip, bits)))
    }),
    (".cidr.ip()->ip", |a, _| Ok(Val::Ip(cidr(a, 0).0))),
    (".cidr.prefixLength()->int", |a, _| Ok(Val::Int(cidr(a, 0).1.into()))),
    (".cidr.masked()->cidr", |a, _| {
        let (ip, bits) = cidr(a, 0);
        Ok(Val::Cidr(mask(ip, bits), bits))
    }),
    ("quantity(string)->quantity", |a, _| match Quantity::parse(str_at(a, 0)) {
        Ok(quantity) => Ok(Val::Quantity(Arc::new(quantity))),
        Err(why) => Err(Fault::new(why.to_string())),
    }),
    ("isQuantity(string)->bool", |a, _| Ok(Val::Bool(Quantity::parse(str_at(a, 0)).is_ok()))),
    (".quantity.sign()->int", sign),
    ("sign(quantity)->int", sign),
    (".quantity.isGreaterThan(quantity)->bool", |a, _| Ok(Val::Bool(a[0].compare(&a[1]) == Some(Ordering::Greater)))),
    (".quantity.isLessThan(quantity)->bool", |a, _| Ok(Val::Bool(a[0].compare(&a[1]) == Some(Ordering::Less)))),
    (".quantity.compareTo(quantity)->int", compare_to),
    (".quantity.asApproximateFloat()->double", |a, _| {
        #[allow(clippy::cast_precision_loss)]
        Ok(Val::Double(quantity(a, 0).milli_value() as f64 / 1000.0))
    }),
    (".quantity.asInteger()->int", |a, _| {
        let quantity = quantity(a, 0);
        if quantity.is_integer() { Ok(Val::Int(quantity.value())) } else { Err(Fault::new("cannot convert value to integer")) }
    }),
    (".quantity.isInteger()->bool", |a, _| Ok(Val::Bool(quantity(a, 0).is_integer()))),
    (".quantity.add(quantity)->quantity", |a, _| combine(a, &quantity(a, 1), false)),
    (".quantity.add(int)->quantity", |a, _| combine(a, &Quantity::integer(int_at(a, 1).unwrap_or(0)), false)),
    (".quantity.sub(quantity)->quantity", |a, _| combine(a, &quantity(a, 1), true)),
    (".quantity.sub(int)->quantity", |a, _| combine(a, &Quantity::integer(int_at(a, 1).unwrap_or(0)), true)),
    ("semver(string)->semver", semver),
    ("semver(string, bool)->semver", semver),
    ("isSemver(string)->bool", |a, _| Ok(Val::Bool(Semver::parse(str_at(a, 0), false).is_ok()))),
    ("isSemver(string, bool)->bool", |a, _| Ok(Val::Bool(Semver::parse(str_at(a, 0), is_true(&a[1])).is_ok()))),
    (".semver.isGreaterThan(semver)->bool", |a, _| Ok(Val::Bool(a[0].compare(&a[1]) == Some(Ordering::Greater)))),
    (".semver.isLessThan(semver)->bool", |a, _| Ok(Val::Bool(a[0].compare(&a[1]) == Some(Ordering::Less)))),
    (".semver.compareTo(semver)->int", compare_to),
    (".semver.major()->int", |a, _| version_part(a, 0)),
    (".semver.minor()->int", |a, _| version_part(a, 1)),
    (".semver.patch()->int", |a, _| version_part(a, 2)),
    ("format.named(string)->optional(format)", |a, _| {
        let found = FORMATS.iter().find(|(name, _)| *name == str_at(a, 0));
        Ok(found.map_or(Val::Optional(None), |(name, _)| Val::some(Val::Format(name))))
    }),
    (".format.validate(string)->optional(list(string))", |a, _| {
        let Val::Format(name) = &a[0] else { return Err(Fault::no_overload()) };
        let messages = FORMATS.iter().find(|(n, _)| n == name).map(|(_, check)| check(str_at(a, 1))).unwrap_or_default();
        if messages.is_empty() {
            return Ok(Val::Optional(None));
        }
        Ok(Val::some(Val::list(messages.iter().map(|m| Val::text(m)).collect())))
    }),
    ("format.dns1123Label()->format", |_, _| Ok(Val::Format("dns1123Label"))),
    ("format.dns1123Subdomain()->format", |_, _| Ok(Val::Format("dns1123Subdomain"))),
    ("format.dns1035Label()->format", |_, _| Ok(Val::Format("dns1035Label"))),
    ("format.qualifiedName()->format", |_, _| Ok(Val::Format("qualifiedName"))),
    ("format.dns1123LabelPrefix()->format", |_, _| Ok(Val::Format("dns1123LabelPrefix"))),
    ("format.dns1123SubdomainPrefix()->format", |_, _| Ok(Val::Format("dns1123SubdomainPrefix"))),
    ("format.dns1035LabelPrefix()->format", |_, _| Ok(Val::Format("dns1035LabelPrefix"))),
    ("format.labelValue()->format", |_, _| Ok(Val::Format("labelValue"))),
    ("format.uri()->format", |_, _| Ok(Val::Format("uri"))),
    ("format.uuid()->format", |_, _| Ok(Val::Format("uuid"))),
    ("format.byte()->format", |_, _| Ok(Val::Format("byte"))),
    ("format.date()->format", |_, _| Ok(Val::Format("date"))),
    ("format.datetime()->format", |_, _| Ok(Val::Format("datetime"))),
    // Known, so that messages are right; without the variable `authorizer` nothing can call them.
    (".authorizer.path(string)->path", no_authorizer),
    (".authorizer.group(string)->group", no_authorizer),
    (".authorizer.serviceAccount(string, string)->authorizer", no_authorizer),
    (".group.resource(string)->resource", no_authorizer),
    (".resource.subresource(string)->resource", no_authorizer),
    (".resource.namespace(string)->resource", no_authorizer),
    (".resource.name(string)->resource", no_authorizer),
    (".resource.fieldSelector(string)->resource", no_authorizer),
    (".resource.labelSelector(string)->resource", no_authorizer),
    (".path.check(string)->decision", no_authorizer),
    (".resource.check(string)->decision", no_authorizer),
    (".decision.errored()->bool", no_authorizer),
    (".decision.error()->string", no_authorizer),
    (".decision.allowed()->bool", no_authorizer),
    (".decision.reason()->string", no_authorizer),
];

fn no_authorizer<'a>(_: &[Val<'a>], _: &mut Budget) -> Result<'a> {
    Err(Fault::new("the authorizer is not emulated"))
}

type Check = fn(&str) -> Vec<String>;

const FORMATS: &[(&str, Check)] = &[
    ("dns1123Label", |s| names::dns1123_label(s, false)),
    ("dns1123Subdomain", |s| names::dns1123_subdomain(s, false)),
    ("dns1035Label", |s| names::dns1035_label(s, false)),
    ("qualifiedName", names::qualified),
    ("dns1123LabelPrefix", |s| names::dns1123_label(s, true)),
    ("dns1123SubdomainPrefix", |s| names::dns1123_subdomain(s, true)),
    ("dns1035LabelPrefix", |s| names::dns1035_label(s, true)),
    ("labelValue", names::label_value),
    ("uri", |s| Url::parse(s).err().into_iter().collect()),
    ("uuid", |s| known("uuid", s, "does not match the UUID format")),
    ("byte", |s| known("byte", s, "invalid base64")),
    ("date", |s| known("date", s, "invalid date")),
    ("datetime", |s| known("datetime", s, "invalid datetime")),
];

fn known(format: &str, text: &str, message: &str) -> Vec<String> {
    if formats::has(format, text) { Vec::new() } else { vec![message.to_owned()] }
}

fn conversion(to: &str) -> Fault {
    Fault::new(format!("type conversion error from 'string' to '{to}'"))
}

fn overflow() -> Fault {
    Fault::new("integer overflow")
}

fn is_true(value: &Val<'_>) -> bool {
    matches!(value, Val::Bool(true))
}

fn double(value: &Val<'_>) -> f64 {
    match value {
        Val::Double(f) => *f,
        _ => 0.0,
    }
}

fn nanos(value: &Val<'_>) -> i64 {
    match value {
        Val::Duration(n) => *n,
        _ => 0,
    }
}

fn ip(args: &[Val<'_>]) -> IpAddr {
    match args.first() {
        Some(Val::Ip(ip)) => *ip,
        _ => IpAddr::from([0, 0, 0, 0]),
    }
}

fn cidr(args: &[Val<'_>], i: usize) -> (IpAddr, u8) {
    match args.get(i) {
        Some(Val::Cidr(ip, bits)) => (*ip, *bits),
        _ => (IpAddr::from([0, 0, 0, 0]), 32),
    }
}

fn quantity(args: &[Val<'_>], i: usize) -> Quantity {
    match args.get(i) {
        Some(Val::Quantity(quantity)) => quantity.as_ref().clone(),
        _ => Quantity::ZERO,
    }
}

fn list<'a>(args: &[Val<'a>], i: usize) -> std::result::Result<Vec<Val<'a>>, Fault> {
    args.get(i).and_then(Val::items).unwrap_or_else(|| Err(Fault::no_overload()))
}

fn pair<'a>(args: &[Val<'a>], budget: &mut Budget) -> std::result::Result<(Vec<Val<'a>>, Vec<Val<'a>>), Fault> {
    let (a, b) = (list(args, 0)?, list(args, 1)?);
    budget.spend((a.len() as u64 + 1) * (b.len() as u64 + 1))?;
    Ok((a, b))
}

fn equal<'a>(args: &[Val<'a>], budget: &mut Budget) -> Result<'a> {
    budget.spend(args[0].weight().min(args[1].weight()))?;
    Ok(Val::Bool(args[0].equals(&args[1])))
}

fn less<'a>(args: &[Val<'a>], budget: &mut Budget) -> Result<'a> {
    ordered(args, budget, Ordering::is_lt)
}

fn no_more<'a>(args: &[Val<'a>], budget: &mut Budget) -> Result<'a> {
    ordered(args, budget, Ordering::is_le)
}

fn more<'a>(args: &[Val<'a>], budget: &mut Budget) -> Result<'a> {
    ordered(args, budget, Ordering::is_gt)
}

fn no_less<'a>(args: &[Val<'a>], budget: &mut Budget) -> Result<'a> {
    ordered(args, budget, Ordering::is_ge)
}

fn ordered<'a>(args: &[Val<'a>], budget: &mut Budget, good: fn(Ordering) -> bool) -> Result<'a> {
    budget.spend(args[0].weight().min(args[1].weight()))?;
    Ok(Val::Bool(args[0].compare(&args[1]).is_some_and(good)))
}

fn arithmetic_add<'a>(args: &[Val<'a>], budget: &mut Budget) -> Result<'a> {
    match (&args[0], &args[1]) {
        (Val::Int(a), Val::Int(b)) => a.checked_add(*b).map(Val::Int).ok_or_else(overflow),
        (Val::Uint(a), Val::Uint(b)) => a.checked_add(*b).map(Val::Uint).ok_or_else(|| Fault::new("unsigned integer overflow")),
        (Val::Double(a), Val::Double(b)) => Ok(Val::Double(a + b)),
        (Val::String(a), Val::String(b)) => {
            budget.spend(args[0].weight() + args[1].weight())?;
            Ok(Val::String(format!("{a}{b}").into()))
        }
        (Val::Bytes(a), Val::Bytes(b)) => {
            budget.spend(args[0].weight() + args[1].weight())?;
            Ok(Val::Bytes([a.as_ref(), b.as_ref()].concat().into()))
        }
        (Val::Timestamp(t), Val::Duration(d)) | (Val::Duration(d), Val::Timestamp(t)) => shift(*t, *d),
        (Val::Duration(a), Val::Duration(b)) => {
            a.checked_add(*b).map(Val::Duration).ok_or_else(|| Fault::new("duration overflow"))
        }
        _ => Err(Fault::no_overload()),
    }
}

fn shift<'a>(time: Timestamp, nanos: i64) -> Result<'a> {
    let moved = time.checked_add(SignedDuration::from_nanos(nanos));
    moved.map(Val::Timestamp).map_err(|_| Fault::new("timestamp overflow"))
}

/// Lists that are sets or maps are united, others appended.
fn add_lists<'a>(args: &[Val<'a>], budget: &mut Budget) -> Result<'a> {
    let (mut a, b) = (list(args, 0)?, list(args, 1)?);
    budget.spend((a.len() + b.len()) as u64 + 1)?;
    match (args[0].list_type(), &args[0]) {
        (Some("set"), _) => {
            budget.spend((a.len() * b.len()) as u64)?;
            for item in b {
                if !a.iter().any(|x| x.equals(&item)) {
                    a.push(item);
                }
            }
        }
        (Some("map"), Val::Items(_, Some(schema))) => {
            budget.spend((a.len() * b.len()) as u64)?;
            let keys: Vec<Val<'a>> = schema.map_keys.iter().map(|key| Val::text(key)).collect();
            for item in b {
                let same = |x: &Val<'a>| {
                    keys.iter().all(|key| match (x.entry(key), item.entry(key)) {
                        (Ok(Some(p)), Ok(Some(q))) => p.equals(&q),
                        (p, q) => matches!((p, q), (Ok(None), Ok(None))),
                    })
                };
                match a.iter().position(same) {
                    Some(i) => a[i] = item,
                    None => a.push(item),
                }
            }
        }
        _ => a.extend(b),
    }
    Ok(Val::list(a))
}

fn subtract<'a>(args: &[Val<'a>], _: &mut Budget) -> Result<'a> {
    match (&args[0], &args[1]) {
        (Val::Int(a), Val::Int(b)) => a.checked_sub(*b).map(Val::Int).ok_or_else(overflow),
        (Val::Uint(a), Val::Uint(b)) => a.checked_sub(*b).map(Val::Uint).ok_or_else(|| Fault::new("unsigned integer overflow")),
        (Val::Double(a), Val::Double(b)) => Ok(Val::Double(a - b)),
        (Val::Timestamp(a), Val::Timestamp(b)) => {
            i64::try_from(a.as_nanosecond() - b.as_nanosecond()).map(Val::Duration).map_err(|_| Fault::new("timestamp overflow"))
        }
        (Val::Timestamp(t), Val::Duration(d)) => shift(*t, d.checked_neg().ok_or_else(overflow)?),
        (Val::Duration(a), Val::Duration(b)) => {
            a.checked_sub(*b).map(Val::Duration).ok_or_else(|| Fault::new("duration overflow"))
        }
        _ => Err(Fault::no_overload()),
    }
}

fn multiply<'a>(args: &[Val<'a>], _: &mut Budget) -> Result<'a> {
    match (&args[0], &args[1]) {
        (Val::Int(a), Val::Int(b)) => a.checked_mul(*b).map(Val::Int).ok_or_else(overflow),
        (Val::Uint(a), Val::Uint(b)) => a.checked_mul(*b).map(Val::Uint).ok_or_else(|| Fault::new("unsigned integer overflow")),
        (Val::Double(a), Val::Double(b)) => Ok(Val::Double(a * b)),
        _ => Err(Fault::no_overload()),
    }
}

fn divide<'a>(args: &[Val<'a>], _: &mut Budget) -> Result<'a> {
    match (&args[0], &args[1]) {
        (Val::Int(_), Val::Int(0)) | (Val::Uint(_), Val::Uint(0)) => Err(Fault::new("division by zero")),
        (Val::Int(a), Val::Int(b)) => a.checked_div(*b).map(Val::Int).ok_or_else(overflow),
        (Val::Uint(a), Val::Uint(b)) => Ok(Val::Uint(a / b)),
        (Val::Double(a), Val::Double(b)) => Ok(Val::Double(a / b)),
        _ => Err(Fault::no_overload()),
    }
}

fn modulo<'a>(args: &[Val<'a>], _: &mut Budget) -> Result<'a> {
    match (&args[0], &args[1]) {
        (Val::Int(_), Val::Int(0)) | (Val::Uint(_), Val::Uint(0)) => Err(Fault::new("modulus by zero")),
        (Val::Int(a), Val::Int(b)) => a.checked_rem(*b).map(Val::Int).ok_or_else(overflow),
        (Val::Uint(a), Val::Uint(b)) => Ok(Val::Uint(a % b)),
        _ => Err(Fault::no_overload()),
    }
}

fn within_list<'a>(args: &[Val<'a>], budget: &mut Budget) -> Result<'a> {
    let items = list(args, 1)?;
    budget.spend(items.len() as u64 * args[0].weight())?;
    Ok(Val::Bool(items.iter().any(|item| item.equals(&args[0]))))
}

fn size<'a>(args: &[Val<'a>], _: &mut Budget) -> Result<'a> {
    args[0].size().and_then(|n| i64::try_from(n).ok()).map(Val::Int).ok_or_else(Fault::no_overload)
}

#[allow(clippy::cast_possible_truncation)]
fn to_int<'a>(args: &[Val<'a>], _: &mut Budget) -> Result<'a> {
    match &args[0] {
        Val::Int(n) => Ok(Val::Int(*n)),
        Val::Uint(n) => i64::try_from(*n).map(Val::Int).map_err(|_| overflow()),
        Val::Double(f) if f.abs() < 9.223_372_036_854_775e18 => Ok(Val::Int(*f as i64)),
        Val::Double(_) => Err(overflow()),
        Val::String(text) => text.parse().map(Val::Int).map_err(|_| conversion("int")),
        Val::Timestamp(time) => Ok(Val::Int(time.as_second())),
        Val::Duration(nanos) => Ok(Val::Int(*nanos)),
        _ => Err(Fault::no_overload()),
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn to_uint<'a>(args: &[Val<'a>], _: &mut Budget) -> Result<'a> {
    let overflow = || Fault::new("unsigned integer overflow");
    match &args[0] {
        Val::Uint(n) => Ok(Val::Uint(*n)),
        Val::Int(n) => u64::try_from(*n).map(Val::Uint).map_err(|_| overflow()),
        Val::Double(f) if *f >= 0.0 && *f < 1.844_674_407_370_955e19 => Ok(Val::Uint(*f as u64)),
        Val::Double(_) => Err(overflow()),
        Val::String(text) => text.parse().map(Val::Uint).map_err(|_| conversion("uint")),
        _ => Err(Fault::no_overload()),
    }
}

#[allow(clippy::cast_precision_loss)]
fn to_double<'a>(args: &[Val<'a>], _: &mut Budget) -> Result<'a> {
    match &args[0] {
        Val::Double(f) => Ok(Val::Double(*f)),
        Val::Int(n) => Ok(Val::Double(*n as f64)),
        Val::Uint(n) => Ok(Val::Double(*n as f64)),
        Val::String(text) => text.parse().map(Val::Double).map_err(|_| conversion("double")),
        _ => Err(Fault::no_overload()),
    }
}

fn to_string<'a>(args: &[Val<'a>], budget: &mut Budget) -> Result<'a> {
    budget.spend(args[0].weight())?;
    match &args[0] {
        Val::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Val::text(text)),
            Err(_) => Err(Fault::new("invalid UTF-8 in bytes, cannot convert to string")),
        },
        other => Ok(Val::String(plain(other).into())),
    }
}

fn part<'a>(args: &[Val<'a>], read: fn(jiff::civil::DateTime) -> i64) -> Result<'a> {
    let Some(Val::Timestamp(time)) = args.first() else { return Err(Fault::no_overload()) };
    let zone = match args.get(1) {
        None => TimeZone::UTC,
        Some(_) => time_zone(str_at(args, 1)).ok_or_else(|| Fault::new(format!("unknown time zone {}", str_at(args, 1))))?,
    };
    Ok(Val::Int(read(zone.to_datetime(*time))))
}

fn time_zone(name: &str) -> Option<TimeZone> {
    let (sign, rest) = match name.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, name.strip_prefix('+').unwrap_or(name)),
    };
    if let Some((hours, minutes)) = rest.split_once(':') {
        let seconds = sign * (hours.parse::<i32>().ok()? * 3600 + minutes.parse::<i32>().ok()? * 60);
        return jiff::tz::Offset::from_seconds(seconds).ok().map(TimeZone::fixed);
    }
    if name.is_empty() || name == "UTC" { Some(TimeZone::UTC) } else { TimeZone::get(name).ok() }
}

fn is_zero(value: &Val<'_>) -> bool {
    match value {
        Val::Null | Val::Bool(false) | Val::Int(0) | Val::Uint(0) | Val::Duration(0) | Val::Optional(None) => true,
        Val::Double(f) => *f == 0.0,
        other => other.size() == Some(0),
    }
}

fn unwrap<'a>(args: &[Val<'a>], budget: &mut Budget) -> Result<'a> {
    let items = list(args, 0)?;
    budget.spend(items.len() as u64)?;
    let inner = |item: Val<'a>| match item {
        Val::Optional(value) => value.map(|v| v.as_ref().clone()),
        other => Some(other),
    };
    Ok(Val::list(items.into_iter().filter_map(inner).collect()))
}

fn is_sorted<'a>(args: &[Val<'a>], budget: &mut Budget) -> Result<'a> {
    let items = list(args, 0)?;
    budget.spend(items.iter().map(Val::weight).sum())?;
    Ok(Val::Bool(items.windows(2).all(|two| two[0].compare(&two[1]) != Some(Ordering::Greater))))
}

fn sum<'a>(args: &[Val<'a>], budget: &mut Budget) -> Result<'a> {
    let items = list(args, 0)?;
    budget.spend(items.len() as u64)?;
    let mut items = items.into_iter();
    let mut total = items.next().unwrap_or(Val::Int(0));
    for item in items {
        total = arithmetic_add(&[total, item], budget)?;
    }
    Ok(total)
}

fn extreme<'a>(args: &[Val<'a>], budget: &mut Budget, wanted: Ordering) -> Result<'a> {
    let items = list(args, 0)?;
    budget.spend(items.iter().map(Val::weight).sum())?;
    let better = |best: Val<'a>, item: Val<'a>| if item.compare(&best) == Some(wanted) { item } else { best };
    let name = if wanted == Ordering::Less { "min" } else { "max" };
    items.into_iter().reduce(better).ok_or_else(|| Fault::new(format!("{name} called on empty list")))
}

fn list_index<'a>(args: &[Val<'a>], budget: &mut Budget, last: bool) -> Result<'a> {
    let items = list(args, 0)?;
    budget.spend(items.len() as u64 * args[1].weight())?;
    let same = |item: &Val<'a>| item.equals(&args[1]);
    let found = if last { items.iter().rposition(same) } else { items.iter().position(same) };
    Ok(Val::Int(found.and_then(|i| i64::try_from(i).ok()).unwrap_or(-1)))
}

fn sign<'a>(args: &[Val<'a>], _: &mut Budget) -> Result<'a> {
    let quantity = quantity(args, 0);
    Ok(Val::Int(if quantity.is_zero() {
        0
    } else if quantity.is_negative() {
        -1
    } else {
        1
    }))
}

fn compare_to<'a>(args: &[Val<'a>], _: &mut Budget) -> Result<'a> {
    let order = args[0].compare(&args[1]).ok_or_else(Fault::no_overload)?;
    Ok(Val::Int(order as i64))
}

fn combine<'a>(args: &[Val<'a>], other: &Quantity, minus: bool) -> Result<'a> {
    let mut result = quantity(args, 0);
    if minus {
        result.sub(other)
    } else {
        result.add(other)
    }
    Ok(Val::Quantity(Arc::new(result)))
}

fn semver<'a>(args: &[Val<'a>], _: &mut Budget) -> Result<'a> {
    let lenient = args.get(1).is_some_and(is_true);
    Semver::parse(str_at(args, 0), lenient).map(|v| Val::Semver(Arc::new(v))).map_err(Fault::new)
}

fn version_part<'a>(args: &[Val<'a>], i: usize) -> Result<'a> {
    match &args[0] {
        Val::Semver(version) => Ok(Val::Int(i64::try_from(version.numbers[i]).unwrap_or(i64::MAX))),
        _ => Err(Fault::no_overload()),
    }
}

fn url<'a>(args: &[Val<'a>], read: fn(&Url) -> String) -> Result<'a> {
    match &args[0] {
        Val::Url(url) => Ok(Val::String(read(url).into())),
        _ => Err(Fault::no_overload()),
    }
}

fn parse_ip(text: &str) -> std::result::Result<IpAddr, String> {
    match text.parse::<IpAddr>() {
        Ok(IpAddr::V6(v6)) if v6.to_ipv4_mapped().is_some() => {
            Err("parse error: IPv4-mapped IPv6 address is not allowed".to_owned())
        }
        Ok(ip) => Ok(ip),
        Err(_) => Err("parse error".to_owned()),
    }
}

fn parse_cidr(text: &str) -> Option<(IpAddr, u8)> {
    let (ip, bits) = text.split_once('/')?;
    let ip = parse_ip(ip).ok()?;
    let plain = bits == "0" || (!bits.starts_with('0') && bits.bytes().all(|b| b.is_ascii_digit()));
    let bits = bits.parse().ok().filter(|n| plain && *n <= full(ip))?;
    Some((ip, bits))
}

fn full(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { 32 } else { 128 }
}

fn mask(ip: IpAddr, bits: u8) -> IpAddr {
    match ip {
        IpAddr::V4(v4) => IpAddr::V4((v4.to_bits() & u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0)).into()),
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0)).into()),
    }
}

fn contains((network, bits): (IpAddr, u8), ip: IpAddr, prefix: u8) -> bool {
    network.is_ipv4() == ip.is_ipv4() && prefix >= bits && mask(network, bits) == mask(ip, bits)
}

fn link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.segments()[0] & 0xffc0 == 0xfe80,
    }
}

/// A URL in parts, as Go's `net/url` takes it apart.
#[derive(Debug, PartialEq)]
pub(crate) struct Url {
    pub(super) text: String,
    scheme: String,
    host: String,
    path: String,
    query: String,
}

impl Url {
    /// Absolute, or a path.
    fn parse(text: &str) -> std::result::Result<Self, String> {
        let bad = |why: &str| format!("parse {}: {why}", crate::field::quote(text));
        if text.is_empty() {
            return Err(bad("empty url"));
        }
        if text.chars().any(|c| c.is_ascii_control()) {
            return Err(bad("net/url: invalid control character in URL"));
        }
        let (before, _) = text.split_once('#').unwrap_or((text, ""));
        let (before, query) = before.split_once('?').unwrap_or((before, ""));
        let (scheme, rest) = match before.split_once(':') {
            Some((scheme, rest)) if !scheme.contains('/') => {
                let valid = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                    && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
                if scheme.is_empty() {
                    return Err(bad("missing protocol scheme"));
                }
                if !valid {
                    return Err(bad("first path segment in URL cannot contain colon"));
                }
                (scheme.to_lowercase(), rest)
            }
            _ => (String::new(), before),
        };
        if scheme.is_empty() && !rest.starts_with('/') {
            return Err(bad("invalid URI for request"));
        }
        let (host, path) = match rest.strip_prefix("//") {
            Some(rest) if !scheme.is_empty() => {
                let end = rest.find('/').unwrap_or(rest.len());
                let authority = &rest[..end];
                (authority.rsplit('@').next().unwrap_or_default(), &rest[end..])
            }
            _ => ("", rest),
        };
        if host.contains(' ') {
            return Err(bad("invalid character \" \" in host name"));
        }
        if let Some((_, port)) = host.rsplit_once(':').filter(|(_, port)| !port.contains(']'))
            && !port.bytes().all(|b| b.is_ascii_digit())
        {
            return Err(bad(&format!("invalid port {} after host", crate::field::quote(&format!(":{port}")))));
        }
        Ok(Self { text: text.to_owned(), scheme, host: host.to_owned(), path: path.replace(' ', "%20"), query: query.to_owned() })
    }

    fn hostname(&self) -> &str {
        match self.host.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or_default(),
            None => self.host.split(':').next().unwrap_or_default(),
        }
    }

    fn port(&self) -> &str {
        let after = self.host.rsplit(']').next().unwrap_or_default();
        after.rsplit_once(':').map_or("", |(_, port)| port)
    }

    fn query_map<'a>(&self) -> Val<'a> {
        let mut map: Vec<(String, Vec<Val<'a>>)> = Vec::new();
        for entry in self.query.split('&').filter(|e| !e.is_empty()) {
            let (key, value) = entry.split_once('=').unwrap_or((entry, ""));
            let (key, value) = (unescape(key), Val::text(&unescape(value)));
            match map.iter_mut().find(|(k, _)| *k == key) {
                Some((_, values)) => values.push(value),
                None => map.push((key, vec![value])),
            }
        }
        Val::Map(Arc::new(map.into_iter().map(|(key, values)| (Val::text(&key), Val::list(values))).collect()))
    }
}

fn unescape(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let hex = text.get(i + 1..i + 3).and_then(|h| u8::from_str_radix(h, 16).ok());
        match (bytes[i], hex) {
            (b'%', Some(byte)) => {
                out.push(byte);
                i += 2;
            }
            (b'+', _) => out.push(b' '),
            (byte, _) => out.push(byte),
        }
        i += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// A semantic version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Semver {
    numbers: [u64; 3],
    pre: Vec<String>,
    build: String,
}

impl Semver {
    /// `lenient` drops a leading v, adds missing parts and drops leading zeros.
    fn parse(text: &str, lenient: bool) -> std::result::Result<Self, String> {
        let text = if lenient { text.strip_prefix('v').unwrap_or(text) } else { text };
        if text.is_empty() {
            return Err("Version string empty".to_owned());
        }
        let (core, build) = text.split_once('+').unwrap_or((text, ""));
        let (core, pre) = core.split_once('-').unwrap_or((core, ""));
        let mut parts: Vec<&str> = core.split('.').collect();
        if lenient {
            while parts.len() < 3 {
                parts.push("0");
            }
        }
        let [major, minor, patch] = parts.as_slice() else { return Err("No Major.Minor.Patch elements found".to_owned()) };
        let mut numbers = [0; 3];
        for (number, (part, name)) in numbers.iter_mut().zip([(major, "major"), (minor, "minor"), (patch, "patch")]) {
            if part.is_empty() || !part.bytes().all(|b| b.is_ascii_digit()) {
                let name = if name == "patch" { "patch" } else { name };
                return Err(format!("Invalid character(s) found in {name} number {}", crate::field::quote(part)));
            }
            if part.len() > 1 && part.starts_with('0') && !lenient {
                let name = format!("{}{}", name[..1].to_uppercase(), &name[1..]);
                return Err(format!("{name} number must not contain leading zeroes {}", crate::field::quote(part)));
            }
            *number = part.parse().map_err(|_| "value out of range".to_owned())?;
        }
        let fine = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let pre: Vec<String> = if pre.is_empty() { Vec::new() } else { pre.split('.').map(str::to_owned).collect() };
        let marked = text.contains('-') && pre.is_empty() && !text.contains('+');
        if marked || pre.iter().any(|p| !fine(p)) || (!build.is_empty() && build.split('.').any(|b| !fine(b))) {
            return Err("Invalid character(s) found in prerelease or build metadata".to_owned());
        }
        Ok(Self { numbers, pre, build: build.to_owned() })
    }

    pub(super) fn text(&self) -> String {
        let [major, minor, patch] = self.numbers;
        let pre = if self.pre.is_empty() { String::new() } else { format!("-{}", self.pre.join(".")) };
        let build = if self.build.is_empty() { String::new() } else { format!("+{}", self.build) };
        format!("{major}.{minor}.{patch}{pre}{build}")
    }

    pub(super) fn cmp(&self, other: &Self) -> Ordering {
        let part = |a: &String, b: &String| match (a.parse::<u64>(), b.parse::<u64>()) {
            (Ok(a), Ok(b)) => a.cmp(&b),
            (Ok(_), Err(_)) => Ordering::Less,
            (Err(_), Ok(_)) => Ordering::Greater,
            (Err(_), Err(_)) => a.cmp(b),
        };
        self.numbers.cmp(&other.numbers).then_with(|| match (self.pre.is_empty(), other.pre.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => {
                let each = self.pre.iter().zip(&other.pre).map(|(a, b)| part(a, b)).find(|o| o.is_ne());
                each.unwrap_or_else(|| self.pre.len().cmp(&other.pre.len()))
            }
        })
    }
}
