//! Many new clients a second, each with TLS and a token, and what another device notices of them.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, pki_types::ServerName};
use switchbox_tests::{
    HostFolder,
    hostile::{Healthy, Login, Target},
};

use crate::Times;

/// Threads that connect in turn, so that a slow handshake delays no other.
const THREADS: u32 = 8;

pub(crate) fn run(per_second: f64, time: Duration) {
    let host_folder = HostFolder::new();
    let (_host, target) = Target::start(&host_folder, &[]);
    let new_clients: Vec<_> = (0..THREADS * 12).map(|number| target.new_client(number)).collect();
    let config = Arc::new(client(&host_folder));
    let mut healthy = Healthy::connect(&target);
    let _ = Times::of(&mut healthy, time / 4);
    let quiet = Times::of(&mut healthy, time);
    let (on, made) = (AtomicBool::new(true), AtomicU64::new(0));
    let (during, took) = std::thread::scope(|scope| {
        let threads: Vec<_> = new_clients
            .chunks(12)
            .map(|own| {
                let (on, made, config, target) = (&on, &made, &config, &target);
                scope.spawn(move || {
                    let pause = Duration::from_secs_f64(f64::from(THREADS) / per_second);
                    let (mut next, mut took) = (Instant::now(), Vec::new());
                    for login in own.iter().cycle().take_while(|_| on.load(Ordering::Relaxed)) {
                        // Sleeps at the rate that is measured.
                        std::thread::sleep(next.saturating_duration_since(Instant::now()));
                        next += pause;
                        took.push(connect(target, config.clone(), login));
                        made.fetch_add(1, Ordering::Relaxed);
                    }
                    took
                })
            })
            .collect();
        let began = Instant::now();
        let during = Times::of(&mut healthy, time);
        on.store(false, Ordering::Relaxed);
        println!("{:.0} connects a minute", made.load(Ordering::Relaxed) as f64 * 60.0 / began.elapsed().as_secs_f64());
        (during, threads.into_iter().flat_map(|thread| thread.join().expect("a new client failed")).collect())
    });
    println!("p50, p99, most µs of another device's round trip, quiet:       {}", quiet.shown());
    println!("with the new clients:                                            {}", during.shown());
    println!("from TCP to CONNACK, for a new client:                           {}", Times::sorted(took).shown());
    println!(
        "p99 ratio {:.2}, {} MiB",
        during.at(0.99).as_secs_f64() / quiet.at(0.99).as_secs_f64(),
        target.resident_mib()
    );
}

fn client(host_folder: &HostFolder) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    let pem = std::fs::read(host_folder.root().join("certs/ca.pem")).expect("no authority");
    for certificate in rustls::pki_types::pem::PemObject::pem_slice_iter(&pem) {
        roots.add(certificate.expect("no certificate")).expect("no authority");
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("no TLS")
        .with_root_certificates(roots)
        .with_no_client_auth();
    // Each is a client that never connected before.
    config.resumption = rustls::client::Resumption::disabled();
    config
}

/// From nothing to CONNACK, and DISCONNECT.
fn connect(target: &Target, config: Arc<ClientConfig>, login: &Login) -> Duration {
    let began = Instant::now();
    let name = ServerName::try_from("localhost").expect("no name");
    let tcp = TcpStream::connect(target.mqtts).expect("no connection");
    tcp.set_nodelay(true).expect("no TCP_NODELAY");
    let mut tls = StreamOwned::new(ClientConnection::new(config, name).expect("no TLS"), tcp);
    tls.write_all(&login.packet()).expect("the host has closed");
    let mut connack = [0; 4];
    tls.read_exact(&mut connack).expect("no CONNACK");
    assert_eq!((connack[0], connack[3]), (0x20, 0), "refused");
    let took = began.elapsed();
    let _ = tls.write_all(&[0xe0, 0]);
    took
}
