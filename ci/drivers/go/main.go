// Command driver puts a Go client behind the line protocol of ci/harness/driver.py:
// driver franz-go|sarama|kafka-go BOOTSTRAP.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"time"
)

// deadline bounds each command.
const deadline = 30 * time.Second

// header is a pair of a name and its value, as JSON writes it.
type header struct {
	name  string
	value []byte
}

func (h *header) UnmarshalJSON(data []byte) error {
	var pair [2]json.RawMessage
	if err := json.Unmarshal(data, &pair); err != nil {
		return err
	}
	if err := json.Unmarshal(pair[0], &h.name); err != nil {
		return err
	}
	return json.Unmarshal(pair[1], &h.value)
}

func (h header) MarshalJSON() ([]byte, error) {
	return json.Marshal([]any{h.name, h.value})
}

type record struct {
	Partition int32    `json:"partition"`
	Offset    int64    `json:"offset"`
	Timestamp int64    `json:"timestamp"`
	Key       []byte   `json:"key"`
	Value     []byte   `json:"value"`
	Headers   []header `json:"headers"`
}

type command struct {
	Do          string            `json:"do"`
	Topic       string            `json:"topic"`
	Codec       string            `json:"codec"`
	Records     []record          `json:"records"`
	Partition   int32             `json:"partition"`
	Count       int               `json:"count"`
	Offset      int64             `json:"offset"`
	Time        *int64            `json:"time"`
	Group       string            `json:"group"`
	SessionMs   int               `json:"session_ms"`
	Instance    string            `json:"instance"`
	AutoMs      *int              `json:"auto_ms"`
	Cooperative bool              `json:"cooperative"`
	Partitions  int               `json:"partitions"`
	Configs     map[string]string `json:"configs"`
}

func (c *command) session() time.Duration { return time.Duration(c.SessionMs) * time.Millisecond }

func (c *command) auto() time.Duration { return time.Duration(*c.AutoMs) * time.Millisecond }

type description struct {
	Partitions int               `json:"partitions"`
	Configs    map[string]string `json:"configs"`
}

// client is what the harness asks of each library.
type client interface {
	Produce(context.Context, *command) error
	Read(context.Context, *command) ([]record, error)
	Join(context.Context, *command) error
	Commit(context.Context) error
	Close() error
	Create(context.Context, *command) error
	Describe(context.Context, string) (*description, error)
	Alter(context.Context, *command) error
	Grow(context.Context, *command) error
	Delete(context.Context, string) error
	Lag(ctx context.Context, group, topic string) (map[int32]int64, error)
}

// further is what franz-go has besides.
type further interface {
	InitTransactions(context.Context) error
	ConsumerProtocol(context.Context, *command) error
}

var output sync.Mutex

func say(event map[string]any) {
	line, err := json.Marshal(event)
	if err != nil {
		panic(err)
	}
	output.Lock()
	defer output.Unlock()
	fmt.Println(string(line))
}

// sayRead reports a record that a member of a group has read.
func sayRead(partition int32, offset int64, value []byte) {
	say(map[string]any{"read": []any{partition, offset, string(value)}})
}

func run(c client, asked *command) (any, error) {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	switch asked.Do {
	case "produce":
		return nil, c.Produce(ctx, asked)
	case "read":
		return c.Read(ctx, asked)
	case "join":
		return nil, c.Join(ctx, asked)
	case "commit":
		return nil, c.Commit(ctx)
	case "close":
		return nil, c.Close()
	case "create":
		return nil, c.Create(ctx, asked)
	case "describe":
		return c.Describe(ctx, asked.Topic)
	case "alter":
		return nil, c.Alter(ctx, asked)
	case "grow":
		return nil, c.Grow(ctx, asked)
	case "delete":
		return nil, c.Delete(ctx, asked.Topic)
	case "lag":
		return c.Lag(ctx, asked.Group, asked.Topic)
	case "init_transactions":
		if able, ok := c.(further); ok {
			return nil, able.InitTransactions(ctx)
		}
	case "consumer_protocol":
		if able, ok := c.(further); ok {
			return nil, able.ConsumerProtocol(ctx, asked)
		}
	}
	return nil, fmt.Errorf("no command %q here", asked.Do)
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: driver franz-go|sarama|kafka-go BOOTSTRAP")
		os.Exit(2)
	}
	makers := map[string]func(string) (client, error){
		"franz-go": newFranz, "sarama": newSarama, "kafka-go": newKafkaGo,
	}
	maker, known := makers[os.Args[1]]
	if !known {
		fmt.Fprintf(os.Stderr, "no client is called %q\n", os.Args[1])
		os.Exit(2)
	}
	c, err := maker(os.Args[2])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var asked command
		var answer any
		err := json.Unmarshal(lines.Bytes(), &asked)
		if err == nil {
			answer, err = run(c, &asked)
		}
		if err != nil {
			say(map[string]any{"error": err.Error()})
		} else {
			say(map[string]any{"ok": answer})
		}
	}
}
