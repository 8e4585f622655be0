//! The admin API on a network: TLS, and where it must not be open.

use super::*;

#[test]
fn the_admin_api_is_reached_with_tls_by_clients_that_trust_its_authority() {
    let host_folder = HostFolder::new();
    let host = start(&host_folder, &["--admin-tls", "127.0.0.1:0"]);
    let url = host.admin_tls().replace("127.0.0.1", "localhost");
    let list = |ca: &str| {
        let arguments = ["device", "list", "--admin", &url, "--ca", ca];
        host.command(&host_folder, &arguments).output().unwrap()
    };
    let listed = list("certs/ca.pem");
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let _ = switchbox(&host_folder, &["cert", "server", "localhost", "--folder", &folder(&host_folder, "new")]);
    assert!(!list("new/ca.pem").status.success(), "a host that is not trusted");
    // A new certificate is reloaded here as well.
    for name in ["server.pem", "server.key.pem"] {
        fs::copy(host_folder.root().join("new").join(name), host_folder.root().join("certs").join(name)).unwrap();
    }
    until("the new certificate", || list("new/ca.pem").status.success().then_some(()));
    host.stop();
}

#[test]
fn without_tokens_the_admin_api_is_for_this_machine_alone() {
    let host_folder = HostFolder::new();
    let certs = folder(&host_folder, "certs");
    let _ = switchbox(&host_folder, &["cert", "server", "localhost", "--folder", &certs]);
    let (cert, key) = (format!("{certs}/server.pem"), format!("{certs}/server.key.pem"));
    let tls = ["--admin-tls", "0.0.0.0:0", "--tls-cert", &cert, "--tls-key", &key, "--admin-auth", "none"];
    let mut host = Process::spawn_with(&host_folder, &tls);
    assert!(!host.wait().success());
    assert!(host.log().contains("--admin-auth none is allowed only for a loopback address"), "{}", host.log());
}

#[test]
fn the_admin_api_with_tls_needs_a_certificate_and_says_how_to_get_one() {
    let host_folder = HostFolder::new();
    let mut host = Process::spawn_with(&host_folder, &["--admin-tls", "0.0.0.0:0"]);
    assert!(!host.wait().success());
    assert!(host.log().contains("tls.cert") && host.log().contains("switchbox cert server"), "{}", host.log());
}
