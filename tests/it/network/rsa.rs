//! Clients that know RSA alone.

use super::*;

/// TLS as an ESP8266 speaks it: 1.2, and RSA alone. Gives whether it trusts the host.
fn rsa_alone(host_folder: &HostFolder, at: SocketAddr, authority: &str) -> bool {
    let suites = vec![ring::cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256];
    let provider = CryptoProvider { cipher_suites: suites, ..ring::default_provider() };
    let config = ClientConfig::builder_with_provider(Arc::new(provider));
    let config = config.with_protocol_versions(&[&rustls::version::TLS12]).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(host_folder.root().join(authority)).unwrap()).unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = StreamOwned::new(connection, TcpStream::connect(at).unwrap());
    stream.write_all(&[0xc0, 0]).and_then(|()| stream.flush()).is_ok()
}

#[test]
fn a_client_that_knows_rsa_alone_gets_in_with_a_certificate_for_it_and_else_the_log_says_what_to_do() {
    let host_folder = HostFolder::new();
    // An authority has the kind of key that was asked for first.
    let rsa = ["cert", "server", "localhost", "--key-type", "rsa", "--folder", &folder(&host_folder, "certs")];
    let _ = switchbox(&host_folder, &rsa);
    let names = ["server.pem", "server.key.pem"].map(|name| folder(&host_folder, &format!("certs/{name}")));
    let tls = ["--mqtt-tls", "127.0.0.1:0", "--tls-cert", &names[0], "--tls-key", &names[1]];
    let host = host_folder.start_with(&tls);
    assert!(rsa_alone(&host_folder, host.mqtts(), "certs/ca.pem"));
    host.stop();

    let host = start(&host_folder, &["--connect-deadline", "1s"]);
    assert!(!rsa_alone(&host_folder, host.mqtts(), "certs/ca.pem"), "the host's key is EC now");
    host.logged(&["TLS handshake failed", "127.0.0.1", "--key-type rsa"]);
    // A client that is slow, or uses another protocol, is logged as well.
    let mut plain = TcpStream::connect(host.mqtts()).unwrap();
    plain.write_all(b"\x10\x0d\0\x04MQTT\x04\x02\0\x3c\0\x01x").unwrap();
    host.logged(&["TLS handshake failed", "127.0.0.1", "does not speak TLS"]);
    let _silent = TcpStream::connect(host.mqtts()).unwrap();
    host.logged(&["TLS handshake did not end within 1 s", "127.0.0.1", "mqtt.connect-deadline"]);
    let mut half = TcpStream::connect(host.mqtt()).unwrap();
    half.write_all(&[0x10]).unwrap();
    host.logged(&["CONNECT did not end within 1 s", "127.0.0.1", "mqtt.connect-deadline"]);
    host.stop();
}

#[test]
fn a_certificate_that_an_rsa_client_cannot_check_is_made_with_a_word() {
    let host_folder = HostFolder::new();
    let certs = folder(&host_folder, "certs");
    let _ = switchbox(&host_folder, &["cert", "server", "localhost", "--folder", &certs]);
    let printed = switchbox(&host_folder, &["cert", "device", "lamp-1", "--key-type", "rsa", "--folder", &certs]);
    assert!(printed.contains("The authority in this folder has an EC key"), "{printed}");
    let key = fs::read_to_string(host_folder.root().join("certs/lamp-1.key.pem")).unwrap();
    assert!(key.contains("PRIVATE KEY") && key.len() > 1_500, "no RSA key of 2048 bits");
}
