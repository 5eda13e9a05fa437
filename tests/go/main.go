// A member of a consumer group with franz-go; prints one JSON object a line.
//
//	member BOOTSTRAP GROUP TOPIC SESSION_MS
//
// Logs in where SASL_MECHANISM, SASL_USERNAME and SASL_PASSWORD are set. Prints {"assigned":N} and {"revoked":N} with
// the number of partitions, and {"offset":N} for each record, committed before the next one. SIGTERM ends it cleanly:
// it leaves the group. An error that the library hands to the application ends it: {"error":TEXT}, exit code 1.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

func main() {
	stopped, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	client, err := kgo.NewClient(options(os.Args[1:])...)
	if err != nil {
		fail(err)
	}
	// PollFetches tries to log in for ever and says nothing; Ping says what is wrong.
	if err := client.Ping(stopped); err != nil && stopped.Err() == nil {
		fail(err)
	}
	for stopped.Err() == nil {
		fetches := client.PollFetches(stopped)
		if stopped.Err() != nil {
			break
		}
		if err := fetches.Err(); err != nil {
			fail(err)
		}
		fetches.EachRecord(func(record *kgo.Record) {
			show("offset", record.Offset)
			if err := client.CommitRecords(context.Background(), record); err != nil {
				// A member that lost its place may not commit; it goes on as a standby.
				show("refused", err.Error())
			}
		})
	}
	client.Close()
}

func options(arguments []string) []kgo.Opt {
	session, err := strconv.Atoi(arguments[3])
	if err != nil {
		fail(err)
	}
	return append(login(),
		kgo.SeedBrokers(arguments[0]),
		kgo.ConsumerGroup(arguments[1]),
		kgo.ConsumeTopics(arguments[2]),
		kgo.SessionTimeout(time.Duration(session)*time.Millisecond),
		kgo.HeartbeatInterval(time.Second),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
		kgo.DisableAutoCommit(),
		kgo.OnPartitionsAssigned(moved("assigned")),
		kgo.OnPartitionsRevoked(moved("revoked")),
		kgo.OnPartitionsLost(moved("lost")),
	)
}

func login() []kgo.Opt {
	mechanism := os.Getenv("SASL_MECHANISM")
	user, password := os.Getenv("SASL_USERNAME"), os.Getenv("SASL_PASSWORD")
	var chosen sasl.Mechanism
	switch mechanism {
	case "":
		return nil
	case "PLAIN":
		chosen = plain.Auth{User: user, Pass: password}.AsMechanism()
	case "SCRAM-SHA-256":
		chosen = scram.Auth{User: user, Pass: password}.AsSha256Mechanism()
	case "SCRAM-SHA-512":
		chosen = scram.Auth{User: user, Pass: password}.AsSha512Mechanism()
	default:
		fail(fmt.Errorf("unknown SASL_MECHANISM %q", mechanism))
	}
	return []kgo.Opt{kgo.SASL(chosen)}
}

func moved(how string) func(context.Context, *kgo.Client, map[string][]int32) {
	return func(_ context.Context, _ *kgo.Client, topics map[string][]int32) {
		count := 0
		for _, partitions := range topics {
			count += len(partitions)
		}
		show(how, count)
	}
}

var output sync.Mutex

func show(what string, value any) {
	output.Lock()
	defer output.Unlock()
	line, err := json.Marshal(map[string]any{what: value})
	if err != nil {
		panic(err)
	}
	fmt.Println(string(line))
}

func fail(err error) {
	show("error", err.Error())
	os.Exit(1)
}
