package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
)

type kafkaGo struct {
	bootstrap string
	client    *kafka.Client
	member    *kafka.Reader
	leave     context.CancelFunc
	left      chan struct{}
	mutex     sync.Mutex
	read      map[int]kafka.Message
}

func newKafkaGo(bootstrap string) (client, error) {
	return &kafkaGo{bootstrap: bootstrap, client: &kafka.Client{Addr: kafka.TCP(bootstrap)},
		read: map[int]kafka.Message{}}, nil
}

func (k *kafkaGo) Produce(ctx context.Context, asked *command) error {
	writer := &kafka.Writer{
		Addr: kafka.TCP(k.bootstrap), Topic: asked.Topic, RequiredAcks: kafka.RequireAll,
		BatchSize: len(asked.Records), BatchTimeout: 100 * time.Millisecond,
		Compression: map[string]kafka.Compression{"gzip": kafka.Gzip, "snappy": kafka.Snappy,
			"lz4": kafka.Lz4, "zstd": kafka.Zstd}[asked.Codec],
		Balancer: kafka.BalancerFunc(func(message kafka.Message, _ ...int) int {
			return message.WriterData.(int)
		}),
	}
	var messages []kafka.Message
	for _, one := range asked.Records {
		made := kafka.Message{Key: one.Key, Value: one.Value, Time: time.UnixMilli(one.Timestamp),
			WriterData: int(one.Partition)}
		for _, h := range one.Headers {
			made.Headers = append(made.Headers, kafka.Header{Key: h.name, Value: h.value})
		}
		messages = append(messages, made)
	}
	return errors.Join(writer.WriteMessages(ctx, messages...), writer.Close())
}

func (k *kafkaGo) Read(ctx context.Context, asked *command) ([]record, error) {
	reader := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{k.bootstrap}, Topic: asked.Topic,
		Partition: int(asked.Partition), MaxWait: 100 * time.Millisecond})
	defer reader.Close()
	var err error
	if asked.Time != nil {
		err = reader.SetOffsetAt(ctx, time.UnixMilli(*asked.Time))
	} else {
		err = reader.SetOffset(asked.Offset)
	}
	if err != nil {
		return nil, err
	}
	var found []record
	for len(found) < asked.Count {
		one, err := reader.ReadMessage(ctx)
		if err != nil {
			return nil, err
		}
		got := record{Partition: int32(one.Partition), Offset: one.Offset, Key: one.Key,
			Timestamp: one.Time.UnixMilli(), Value: one.Value}
		for _, h := range one.Headers {
			got.Headers = append(got.Headers, header{h.Key, h.Value})
		}
		found = append(found, got)
	}
	return found, nil
}

func (k *kafkaGo) Join(_ context.Context, asked *command) error {
	config := kafka.ReaderConfig{Brokers: []string{k.bootstrap}, GroupID: asked.Group,
		GroupTopics: []string{asked.Topic}, SessionTimeout: asked.session(),
		HeartbeatInterval: 500 * time.Millisecond, StartOffset: kafka.FirstOffset,
		MaxWait: 100 * time.Millisecond, JoinGroupBackoff: 200 * time.Millisecond}
	automatic := asked.AutoMs != nil
	if automatic {
		config.CommitInterval = asked.auto()
	}
	reader := kafka.NewReader(config)
	var ctx context.Context
	k.member = reader
	k.left = make(chan struct{})
	ctx, k.leave = context.WithCancel(context.Background())
	go func() {
		defer close(k.left)
		for ctx.Err() == nil {
			take := reader.FetchMessage
			if automatic {
				take = reader.ReadMessage
			}
			one, err := take(ctx)
			if err != nil {
				continue
			}
			k.mutex.Lock()
			k.read[one.Partition] = one
			k.mutex.Unlock()
			sayRead(int32(one.Partition), one.Offset, one.Value)
		}
	}()
	return nil
}

func (k *kafkaGo) Commit(ctx context.Context) error {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	var last []kafka.Message
	for _, one := range k.read {
		last = append(last, one)
	}
	return k.member.CommitMessages(ctx, last...)
}

func (k *kafkaGo) Close() error {
	k.leave()
	<-k.left
	return k.member.Close()
}

func (k *kafkaGo) Create(ctx context.Context, asked *command) error {
	made := kafka.TopicConfig{Topic: asked.Topic, NumPartitions: asked.Partitions, ReplicationFactor: 1}
	for name, value := range asked.Configs {
		made.ConfigEntries = append(made.ConfigEntries, kafka.ConfigEntry{ConfigName: name, ConfigValue: value})
	}
	answer, err := k.client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{made}})
	if err != nil {
		return err
	}
	return answer.Errors[asked.Topic]
}

func (k *kafkaGo) Describe(ctx context.Context, topic string) (*description, error) {
	metadata, err := k.client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{topic}})
	if err != nil {
		return nil, err
	}
	answer, err := k.client.DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{
		Resources: []kafka.DescribeConfigRequestResource{
			{ResourceType: kafka.ResourceTypeTopic, ResourceName: topic}}})
	if err != nil {
		return nil, err
	}
	result := &description{len(metadata.Topics[0].Partitions), map[string]string{}}
	for _, entry := range answer.Resources[0].ConfigEntries {
		result.Configs[entry.ConfigName] = entry.ConfigValue
	}
	return result, errors.Join(metadata.Topics[0].Error, answer.Resources[0].Error)
}

func (k *kafkaGo) Alter(ctx context.Context, asked *command) error {
	resource := kafka.IncrementalAlterConfigsRequestResource{
		ResourceType: kafka.ResourceTypeTopic, ResourceName: asked.Topic}
	for name, value := range asked.Configs {
		resource.Configs = append(resource.Configs, kafka.IncrementalAlterConfigsRequestConfig{
			Name: name, Value: value, ConfigOperation: kafka.ConfigOperationSet})
	}
	answer, err := k.client.IncrementalAlterConfigs(ctx, &kafka.IncrementalAlterConfigsRequest{
		Resources: []kafka.IncrementalAlterConfigsRequestResource{resource}})
	if err != nil {
		return err
	}
	return answer.Resources[0].Error
}

func (k *kafkaGo) Grow(ctx context.Context, asked *command) error {
	answer, err := k.client.CreatePartitions(ctx, &kafka.CreatePartitionsRequest{
		Topics: []kafka.TopicPartitionsConfig{{Name: asked.Topic, Count: int32(asked.Partitions)}}})
	if err != nil {
		return err
	}
	return answer.Errors[asked.Topic]
}

func (k *kafkaGo) Delete(ctx context.Context, topic string) error {
	answer, err := k.client.DeleteTopics(ctx, &kafka.DeleteTopicsRequest{Topics: []string{topic}})
	if err != nil {
		return err
	}
	return answer.Errors[topic]
}

func (k *kafkaGo) Lag(ctx context.Context, group, topic string) (map[int32]int64, error) {
	metadata, err := k.client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{topic}})
	if err != nil {
		return nil, err
	}
	var partitions []int
	var ends []kafka.OffsetRequest
	for _, one := range metadata.Topics[0].Partitions {
		partitions = append(partitions, one.ID)
		ends = append(ends, kafka.LastOffsetOf(one.ID))
	}
	listed, err := k.client.ListOffsets(ctx, &kafka.ListOffsetsRequest{
		Topics: map[string][]kafka.OffsetRequest{topic: ends}})
	if err != nil {
		return nil, err
	}
	fetched, err := k.client.OffsetFetch(ctx, &kafka.OffsetFetchRequest{
		GroupID: group, Topics: map[string][]int{topic: partitions}})
	if err != nil {
		return nil, err
	}
	result := map[int32]int64{}
	for _, one := range listed.Topics[topic] {
		result[int32(one.Partition)] = one.LastOffset
	}
	for _, one := range fetched.Topics[topic] {
		result[int32(one.Partition)] -= one.CommittedOffset
	}
	return result, fetched.Error
}
