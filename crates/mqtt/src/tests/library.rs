//! The ordinary flows with a client library that others wrote, in both versions.

use std::time::Duration;

use tokio::time::timeout;

use super::*;

const TIMEOUT: Duration = Duration::from_secs(5);
const COUNT: usize = 500;

#[tokio::test]
async fn rumqttc_3_1_1_gets_what_it_publishes() {
    use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
    let server = TestServer::start().await;
    let options = MqttOptions::new("_client-lib", "127.0.0.1", server.addr.port());
    let (client, mut events) = AsyncClient::new(options, 10);
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        client.subscribe("lib/#", qos).await.unwrap();
        let publisher = tokio::spawn({
            let client = client.clone();
            async move {
                for n in 0..COUNT {
                    client.publish("lib/x", qos, false, n.to_string()).await.unwrap();
                }
            }
        });
        let mut got = Vec::new();
        while got.len() < COUNT {
            if let Event::Incoming(Packet::Publish(publish)) = timeout(TIMEOUT, events.poll()).await.unwrap().unwrap() {
                got.push(String::from_utf8(publish.payload.to_vec()).unwrap().parse::<usize>().unwrap());
            }
        }
        publisher.await.unwrap();
        assert_eq!(got, (0..COUNT).collect::<Vec<_>>(), "{qos:?}");
    }
}

#[tokio::test]
async fn rumqttc_5_gets_what_it_publishes() {
    use rumqttc::v5::{
        AsyncClient, Event, MqttOptions,
        mqttbytes::{QoS, v5::Packet},
    };
    let server = TestServer::start().await;
    let options = MqttOptions::new("_client-lib", "127.0.0.1", server.addr.port());
    let (client, mut events) = AsyncClient::new(options, 10);
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        client.subscribe("lib/#", qos).await.unwrap();
        let publisher = tokio::spawn({
            let client = client.clone();
            async move {
                for n in 0..COUNT {
                    client.publish("lib/x", qos, false, n.to_string()).await.unwrap();
                }
            }
        });
        let mut got = Vec::new();
        while got.len() < COUNT {
            if let Event::Incoming(Packet::Publish(publish)) = timeout(TIMEOUT, events.poll()).await.unwrap().unwrap() {
                got.push(String::from_utf8(publish.payload.to_vec()).unwrap().parse::<usize>().unwrap());
            }
        }
        publisher.await.unwrap();
        assert_eq!(got, (0..COUNT).collect::<Vec<_>>(), "{qos:?}");
    }
}
