package main

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

type franz struct {
	bootstrap string
	admin     *kadm.Client
	member    *kgo.Client
}

func newFranz(bootstrap string) (client, error) {
	plain, err := kgo.NewClient(kgo.SeedBrokers(bootstrap))
	if err != nil {
		return nil, err
	}
	return &franz{bootstrap: bootstrap, admin: kadm.NewClient(plain)}, nil
}

func (f *franz) open(options ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append(options, kgo.SeedBrokers(f.bootstrap))...)
}

func (f *franz) Produce(ctx context.Context, asked *command) error {
	codec := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}[asked.Codec]
	producer, err := f.open(kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(codec), kgo.ProducerLinger(50*time.Millisecond))
	if err != nil {
		return err
	}
	defer producer.Close()
	var records []*kgo.Record
	for _, one := range asked.Records {
		made := &kgo.Record{Topic: asked.Topic, Partition: one.Partition, Key: one.Key,
			Value: one.Value, Timestamp: time.UnixMilli(one.Timestamp)}
		for _, h := range one.Headers {
			made.Headers = append(made.Headers, kgo.RecordHeader{Key: h.name, Value: h.value})
		}
		records = append(records, made)
	}
	return producer.ProduceSync(ctx, records...).FirstErr()
}

func (f *franz) Read(ctx context.Context, asked *command) ([]record, error) {
	from := kgo.NewOffset().At(asked.Offset)
	if asked.Time != nil {
		from = kgo.NewOffset().AfterMilli(*asked.Time)
	}
	consumer, err := f.open(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{
		asked.Topic: {asked.Partition: from}}))
	if err != nil {
		return nil, err
	}
	defer consumer.Close()
	var found []record
	for len(found) < asked.Count {
		fetches := consumer.PollRecords(ctx, asked.Count-len(found))
		if err := fetches.Err(); err != nil {
			return nil, err
		}
		fetches.EachRecord(func(one *kgo.Record) {
			got := record{Partition: one.Partition, Offset: one.Offset, Key: one.Key,
				Timestamp: one.Timestamp.UnixMilli(), Value: one.Value}
			for _, h := range one.Headers {
				got.Headers = append(got.Headers, header{h.Key, h.Value})
			}
			found = append(found, got)
		})
	}
	return found, nil
}

func (f *franz) Join(_ context.Context, asked *command) error {
	options := []kgo.Opt{kgo.ConsumerGroup(asked.Group), kgo.ConsumeTopics(asked.Topic),
		kgo.SessionTimeout(asked.session()), kgo.HeartbeatInterval(500 * time.Millisecond),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())}
	if asked.Instance != "" {
		options = append(options, kgo.InstanceID(asked.Instance))
	}
	if asked.Cooperative {
		options = append(options, kgo.Balancers(kgo.CooperativeStickyBalancer()))
	} else {
		options = append(options, kgo.Balancers(kgo.RangeBalancer()))
	}
	if asked.AutoMs != nil {
		options = append(options, kgo.AutoCommitInterval(asked.auto()))
	} else {
		options = append(options, kgo.DisableAutoCommit())
	}
	member, err := f.open(options...)
	if err != nil {
		return err
	}
	f.member = member
	go func() {
		for {
			// A poll marks what the one before it gave as read, also when it brings nothing.
			ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
			fetches := member.PollFetches(ctx)
			cancel()
			if fetches.IsClientClosed() {
				return
			}
			fetches.EachRecord(func(one *kgo.Record) { sayRead(one.Partition, one.Offset, one.Value) })
		}
	}()
	return nil
}

func (f *franz) Commit(ctx context.Context) error { return f.member.CommitUncommittedOffsets(ctx) }

func (f *franz) Close() error {
	f.member.Close()
	return nil
}

func (f *franz) Create(ctx context.Context, asked *command) error {
	configs := map[string]*string{}
	for name, value := range asked.Configs {
		configs[name] = kadm.StringPtr(value)
	}
	_, err := f.admin.CreateTopic(ctx, int32(asked.Partitions), 1, configs, asked.Topic)
	return err
}

func (f *franz) Describe(ctx context.Context, topic string) (*description, error) {
	topics, err := f.admin.ListTopics(ctx, topic)
	if err != nil {
		return nil, err
	}
	described, err := f.admin.DescribeTopicConfigs(ctx, topic)
	if err != nil {
		return nil, err
	}
	result := &description{len(topics[topic].Partitions), map[string]string{}}
	for _, entry := range described[0].Configs {
		result.Configs[entry.Key] = entry.MaybeValue()
	}
	return result, described[0].Err
}

func (f *franz) Alter(ctx context.Context, asked *command) error {
	var changes []kadm.AlterConfig
	for name, value := range asked.Configs {
		changes = append(changes, kadm.AlterConfig{Op: kadm.SetConfig, Name: name, Value: kadm.StringPtr(value)})
	}
	answers, err := f.admin.AlterTopicConfigs(ctx, changes, asked.Topic)
	if err != nil {
		return err
	}
	return answers[0].Err
}

func (f *franz) Grow(ctx context.Context, asked *command) error {
	answers, err := f.admin.UpdatePartitions(ctx, asked.Partitions, asked.Topic)
	if err != nil {
		return err
	}
	return answers.Error()
}

func (f *franz) Delete(ctx context.Context, topic string) error {
	_, err := f.admin.DeleteTopic(ctx, topic)
	return err
}

func (f *franz) Lag(ctx context.Context, group, topic string) (map[int32]int64, error) {
	lags, err := f.admin.Lag(ctx, group)
	if err != nil {
		return nil, err
	}
	described := lags[group]
	if err := described.Error(); err != nil {
		return nil, fmt.Errorf("the lag of %s: %w", group, err)
	}
	result := map[int32]int64{}
	for partition, lag := range described.Lag[topic] {
		result[partition] = lag.Lag
	}
	return result, nil
}

func (f *franz) InitTransactions(ctx context.Context) error {
	producer, err := f.open(kgo.TransactionalID("compat-franz-go"))
	if err != nil {
		return err
	}
	defer producer.Close()
	_, _, err = producer.ProducerID(ctx)
	return err
}

// ConsumerProtocol reads in a group whose partitions the broker assigns, where it can.
func (f *franz) ConsumerProtocol(ctx context.Context, asked *command) error {
	member, err := f.open(kgo.ConsumerGroup(asked.Group), kgo.ConsumeTopics(asked.Topic),
		kgo.ServerSideBalancer(), kgo.Balancers(kgo.RangeBalancer()), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return err
	}
	f.member = member // stays in its group
	for read := 0; read < asked.Count; {
		fetches := member.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return err
		}
		read += fetches.NumRecords()
	}
	return nil
}
