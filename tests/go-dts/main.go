// A consumer as DTS's Go demo is one: sarama with its protocol fixed at Kafka 0.11, SASL PLAIN without SaslAuthenticate,
// Avro by goavro with a schema of 15 fields; on one client both a consumer group, whose offsets sarama commits by itself
// with empty metadata, and a partition consumer that begins behind the newest record.
//
//	demo BOOTSTRAP GROUP TOPIC SCHEMA
//
// DTS_ACCOUNT and DTS_PASSWORD log in; DTS_HANDSHAKE=1 takes the later handshake, with SaslAuthenticate, and Kafka 1.0. Prints one JSON
// object a record: "by" is "group" or "partition". {"assigned":N}, {"revoked":N}; {"error":TEXT} ends it, exit code 1.
// Like the demo it does not leave its group when it is stopped.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/IBM/sarama"
	"github.com/linkedin/goavro/v2"
)

func main() {
	sarama.Logger = log.New(os.Stderr, "", log.Lmicroseconds)
	bootstrap, group, topic := os.Args[1], os.Args[2], os.Args[3]
	schema, err := os.ReadFile(os.Args[4])
	check(err)
	codec, err := goavro.NewCodec(string(schema))
	check(err)
	client, err := sarama.NewClient([]string{bootstrap}, config(group))
	check(err)
	go readPartition(client, topic, codec)
	members, err := sarama.NewConsumerGroupFromClient(group, client)
	check(err)
	go func() {
		for err := range members.Errors() {
			show(map[string]any{"refused": err.Error()})
		}
	}()
	for {
		check(members.Consume(context.Background(), []string{topic}, &member{codec}))
	}
}

func config(group string) *sarama.Config {
	config := sarama.NewConfig()
	config.Version = sarama.V0_11_0_0
	config.Net.MaxOpenRequests = 100
	config.Net.SASL.Enable = true
	config.Net.SASL.User = os.Getenv("DTS_ACCOUNT")
	if !strings.Contains(config.Net.SASL.User, group) {
		config.Net.SASL.User += "-" + group
	}
	config.Net.SASL.Password = os.Getenv("DTS_PASSWORD")
	if os.Getenv("DTS_HANDSHAKE") == "1" {
		// sarama refuses the later handshake below this version.
		config.Version = sarama.V1_0_0_0
		config.Net.SASL.Version = sarama.SASLHandshakeV1
	}
	config.Consumer.Return.Errors = true
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	config.Consumer.Offsets.AutoCommit.Enable = true
	config.Consumer.Offsets.AutoCommit.Interval = time.Second
	config.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{sarama.NewBalanceStrategyRange()}
	return config
}

func readPartition(client sarama.Client, topic string, codec *goavro.Codec) {
	consumer, err := sarama.NewConsumerFromClient(client)
	check(err)
	partition, err := consumer.ConsumePartition(topic, 0, sarama.OffsetNewest)
	check(err)
	show(map[string]any{"reading": partition.HighWaterMarkOffset()})
	for message := range partition.Messages() {
		record("partition", message, codec)
	}
}

type member struct{ codec *goavro.Codec }

func (*member) Setup(session sarama.ConsumerGroupSession) error {
	count := 0
	for _, partitions := range session.Claims() {
		count += len(partitions)
	}
	show(map[string]any{"assigned": count})
	return nil
}

func (*member) Cleanup(sarama.ConsumerGroupSession) error {
	show(map[string]any{"revoked": 1})
	return nil
}

func (m *member) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for {
		select {
		case message, open := <-claim.Messages():
			if !open {
				return nil
			}
			record("group", message, m.codec)
			session.MarkMessage(message, "")
		case <-session.Context().Done():
			return nil
		}
	}
}

func record(by string, message *sarama.ConsumerMessage, codec *goavro.Codec) {
	native, rest, err := codec.NativeFromBinary(message.Value)
	check(err)
	if len(rest) > 0 {
		check(fmt.Errorf("%d bytes behind the record at offset %d", len(rest), message.Offset))
	}
	fields := native.(map[string]any)
	object := fields["objectName"]
	if union, ok := object.(map[string]any); ok {
		object = union["string"]
	}
	show(map[string]any{
		"by": by, "offset": message.Offset, "operation": fields["operation"], "at": fields["sourceTimestamp"],
		"born": fields["bornTimestamp"], "object": object, "after": fmt.Sprint(fields["afterImages"]),
	})
}

var output sync.Mutex

func show(line map[string]any) {
	output.Lock()
	defer output.Unlock()
	text, err := json.Marshal(line)
	if err != nil {
		panic(err)
	}
	fmt.Println(string(text))
}

func check(err error) {
	if err != nil {
		show(map[string]any{"error": err.Error()})
		os.Exit(1)
	}
}
