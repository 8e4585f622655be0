// A device on azure-iot-device for Node that uploads files. Arguments: mqtt or http, the authority's certificate (which NODE_EXTRA_CA_CERTS
// names as well), the connection string. Prints the result of each, one JSON line each.
const { readFileSync } = require('fs');
const path = require('path');
const { Readable } = require('stream');
const modules = process.env.NODE_CLIENTS;
const load = (name) => require(path.join(modules, 'node_modules', name));
const { Client } = load('azure-iot-device');
const { Mqtt } = load('azure-iot-device-mqtt');
const { Http } = load('azure-iot-device-http');

const [transport, authority, connectionString] = process.argv.slice(2);
const say = (what, more) => console.log(JSON.stringify({ what, ...more }));

async function main() {
    const client = Client.fromConnectionString(connectionString, { mqtt: Mqtt, http: Http }[transport]);
    // Over HTTP it never returns without options for that.
    await client.setOptions({ ca: readFileSync(authority, 'utf8'), http: { receivePolicy: { interval: 60 } } });
    await client.open();
    for (const [name, data] of [[`${transport}.txt`, Buffer.from('hello')], [`${transport}/large.bin`, Buffer.alloc(9 * 1024 * 1024, 7)]]) {
        await client.uploadToBlob(name, Readable.from([data]), data.length);
        say('uploaded', { name });
    }
    say('ended');
    await client.close();
}

main().catch((error) => { say('error', { text: String(error), inner: String(error.innerError) }); process.exit(1); });
