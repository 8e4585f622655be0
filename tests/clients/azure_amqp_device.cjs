// Connects to the AMQP endpoint of a hub without an SDK, as a device. Arguments: the hub's host name, the authority's certificate, the device's
// id, the user name and the token of SASL PLAIN. Sends an event, two in one message as the SDK for .NET does, and one that is not a
// message in one; tries addresses that are not the device's, one after the other; and prints how each ends, and how
// the connection ends, one JSON line each.
const { readFileSync } = require('fs');
const path = require('path');
const rhea = require(path.join(process.env.NODE_CLIENTS, 'node_modules', 'rhea'));

const [host, authority, device, username, password] = process.argv.slice(2);
const say = (what, more) => console.log(JSON.stringify({ what, ...more }));
const told = (error) => ({ condition: error?.condition, text: error?.description ?? String(error ?? '') });

const container = rhea.create_container();
const connection = container.connect({
    host, port: 5671, transport: 'tls', ca: readFileSync(authority), reconnect: false, username, password, container_id: 'test',
});
const ofSeveral = (messages) => rhea.message.encode({ body: rhea.message.data_sections(messages) });
const SEVERAL = 0x80013700;
let sent = 0;
container.on('connection_open', () => {
    const own = connection.open_sender(`/devices/${device}/messages/events`);
    own.once('sendable', () => {
        own.send({ body: rhea.message.data_section(Buffer.from('by hand')) });
        const two = ['one', 'two'].map((of) => rhea.message.encode({
            application_properties: { of }, body: rhea.message.data_section(Buffer.from(`${of} of two`)),
        }));
        own.send(ofSeveral(two), undefined, SEVERAL);
        own.send(ofSeveral([two[0], Buffer.from([0x00, 0x53, 0x77, 0xc0, 9, 9])]), undefined, SEVERAL);
    });
    own.on('accepted', () => say('sent', { number: ++sent }));
    own.on('rejected', (context) => say('rejected', told(context.delivery.remote_state.error)));
    own.on('sender_error', () => say('refused', { address: 'own', ...told(own.error) }));
    const addresses = [
        '/devices/other/messages/events', '/messages/devicebound', `/devices/${device}/messages/devicebound`, '/devices/x/modules/y/twin',
    ];
    const partition = 'default/ConsumerGroups/$Default/Partitions/0';
    const next = () => {
        const address = addresses.shift();
        if (address) {
            const sender = connection.open_sender(address);
            sender.on('sender_error', () => { say('refused', { address, ...told(sender.error) }); setImmediate(next); });
        } else {
            const receiver = connection.open_receiver(partition);
            receiver.on('receiver_error', () => say('refused', { address: partition, ...told(receiver.error) }));
        }
    };
    next();
});
container.on('connection_error', () => say('closed', told(connection.error)));
container.on('disconnected', (context) => { say('disconnected', told(context.error)); process.exit(0); });
container.on('error', (error) => say('error', told(error)));
