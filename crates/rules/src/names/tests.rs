//! Valid and invalid names.

use super::*;

#[test]
fn a_device_name_has_three_forms() {
    let home = RegistryName::default_registry();
    for (text, full) in [
        ("lamp-1", "projects/local/locations/local/registries/default/devices/lamp-1"),
        ("hall/lamp-1", "projects/local/locations/local/registries/hall/devices/lamp-1"),
        ("projects/a/locations/b/registries/c/devices/d", "projects/a/locations/b/registries/c/devices/d"),
    ] {
        assert_eq!(DeviceName::parse(text, &home).unwrap().to_string(), full);
    }
}

#[test]
fn a_number_is_read_as_it_is_shown_and_no_other() {
    let shown = DeviceNum(2).num_id().to_string();
    assert_eq!((shown.as_str(), DeviceNum::parse_num_id(&shown)), ("4611686018427387906", Some(DeviceNum(2))));
    for text in [
        "2",
        "0",
        "",
        "x",
        "-1",
        "4611686018427387904",
        "04611686018427387906",
        "+4611686018427387906",
        "356938035643809",
        "8944500102198304826",
        "18446744073709551615",
    ] {
        assert_eq!(DeviceNum::parse_num_id(text), None, "{text}");
    }
}

#[test]
fn what_is_no_name_is_refused_with_the_rule() {
    let home = RegistryName::default_registry();
    for text in [
        "",
        "/",
        "a/b/c",
        "a/",
        "#",
        "a+b",
        "lämp",
        "a b",
        "$x",
        "projects/a/locations/b/registries/c",
        &"x".repeat(256),
    ] {
        assert!(DeviceName::parse(text, &home).is_err(), "{text:?} was taken");
    }
    assert_eq!(
        DeviceId::new("a b").unwrap_err().to_string(),
        "device id \"a b\": may hold only letters, digits and - _ . ~ % :"
    );
}
