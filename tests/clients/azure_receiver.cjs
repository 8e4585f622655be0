// rhea as the AMQP client of a phone: receives the events of one device by a selector: `azure_receiver.cjs HOST PORT POLICY KEY HUB
// DEVICE COUNT PARTITIONS`. Prints each body, one a line.
'use strict';

const rhea = require('rhea');

const [host, port, policy, key, hub, device, count, partitions] = process.argv.slice(2);
let left = Number(count);
const connection = rhea.connect({ host, port: Number(port), username: policy, password: key, reconnect: false });
connection.on('connection_error', (context) => {
  console.log('refused', context.connection.error && context.connection.error.description);
  process.exit(1);
});
connection.on('receiver_error', (context) => {
  console.log('refused', context.receiver.error.condition, context.receiver.error.description);
  process.exit(1);
});
for (let partition = 0; partition < Number(partitions); partition += 1) {
  connection.open_receiver({
    source: {
      address: `${hub}/ConsumerGroups/$Default/Partitions/${partition}`,
      filter: rhea.filter.selector(`amqp.annotation.iothub-connection-device-id = '${device}'`),
    },
    credit_window: 10,
  });
}
connection.on('message', (context) => {
  console.log(context.message.body.content.toString());
  left -= 1;
  if (left === 0) {
    console.log('done');
    process.exit(0);
  }
});
setTimeout(() => process.exit(2), 60000);
