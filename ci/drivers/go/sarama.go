package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/IBM/sarama"
)

type saramaClient struct {
	bootstrap []string
	group     sarama.ConsumerGroup
	leave     context.CancelFunc
	left      chan struct{}
	mutex     sync.Mutex
	session   sarama.ConsumerGroupSession
}

func newSarama(bootstrap string) (client, error) {
	return &saramaClient{bootstrap: []string{bootstrap}}, nil
}

func saramaConfig() *sarama.Config {
	config := sarama.NewConfig()
	config.Version = sarama.MaxVersion
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	return config
}

func (s *saramaClient) Produce(_ context.Context, asked *command) error {
	config := saramaConfig()
	config.Producer.Return.Successes = true
	config.Producer.RequiredAcks = sarama.WaitForAll
	config.Producer.Partitioner = sarama.NewManualPartitioner
	config.Producer.Flush.Frequency = 100 * time.Millisecond
	config.Producer.Compression = map[string]sarama.CompressionCodec{
		"none": sarama.CompressionNone, "gzip": sarama.CompressionGZIP, "snappy": sarama.CompressionSnappy,
		"lz4": sarama.CompressionLZ4, "zstd": sarama.CompressionZSTD,
	}[asked.Codec]
	producer, err := sarama.NewSyncProducer(s.bootstrap, config)
	if err != nil {
		return err
	}
	var messages []*sarama.ProducerMessage
	for _, one := range asked.Records {
		made := &sarama.ProducerMessage{Topic: asked.Topic, Partition: one.Partition,
			Timestamp: time.UnixMilli(one.Timestamp), Value: sarama.ByteEncoder(one.Value)}
		if one.Key != nil {
			made.Key = sarama.ByteEncoder(one.Key)
		}
		for _, h := range one.Headers {
			made.Headers = append(made.Headers, sarama.RecordHeader{Key: []byte(h.name), Value: h.value})
		}
		messages = append(messages, made)
	}
	return errors.Join(producer.SendMessages(messages), producer.Close())
}

func (s *saramaClient) Read(ctx context.Context, asked *command) ([]record, error) {
	plain, err := sarama.NewClient(s.bootstrap, saramaConfig())
	if err != nil {
		return nil, err
	}
	defer plain.Close()
	from := asked.Offset
	if asked.Time != nil {
		if from, err = plain.GetOffset(asked.Topic, asked.Partition, *asked.Time); err != nil {
			return nil, err
		}
	}
	consumer, err := sarama.NewConsumerFromClient(plain)
	if err != nil {
		return nil, err
	}
	defer consumer.Close()
	part, err := consumer.ConsumePartition(asked.Topic, asked.Partition, from)
	if err != nil {
		return nil, err
	}
	defer part.Close()
	var found []record
	for len(found) < asked.Count {
		select {
		case one := <-part.Messages():
			got := record{Partition: one.Partition, Offset: one.Offset, Key: one.Key,
				Timestamp: one.Timestamp.UnixMilli(), Value: one.Value}
			for _, h := range one.Headers {
				got.Headers = append(got.Headers, header{string(h.Key), h.Value})
			}
			found = append(found, got)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return found, nil
}

func (s *saramaClient) Setup(session sarama.ConsumerGroupSession) error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.session = session
	return nil
}

func (s *saramaClient) Cleanup(sarama.ConsumerGroupSession) error { return nil }

func (s *saramaClient) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for {
		select {
		case one, open := <-claim.Messages():
			if !open {
				return nil
			}
			session.MarkMessage(one, "")
			sayRead(one.Partition, one.Offset, one.Value)
		case <-session.Context().Done():
			return nil
		}
	}
}

func (s *saramaClient) Join(_ context.Context, asked *command) error {
	config := saramaConfig()
	config.Consumer.Group.Session.Timeout = asked.session()
	config.Consumer.Group.Heartbeat.Interval = 500 * time.Millisecond
	config.Consumer.Group.InstanceId = asked.Instance
	config.Consumer.Offsets.AutoCommit.Enable = asked.AutoMs != nil
	if asked.AutoMs != nil {
		config.Consumer.Offsets.AutoCommit.Interval = asked.auto()
	}
	group, err := sarama.NewConsumerGroup(s.bootstrap, asked.Group, config)
	if err != nil {
		return err
	}
	var ctx context.Context
	s.group = group
	s.left = make(chan struct{})
	ctx, s.leave = context.WithCancel(context.Background())
	go func() {
		defer close(s.left)
		for ctx.Err() == nil {
			if err := group.Consume(ctx, []string{asked.Topic}, s); err != nil && ctx.Err() == nil {
				say(map[string]any{"complaint": err.Error()})
				time.Sleep(100 * time.Millisecond)
			}
		}
	}()
	return nil
}

func (s *saramaClient) Commit(context.Context) error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.session.Commit()
	return nil
}

func (s *saramaClient) Close() error {
	s.leave()
	<-s.left
	return s.group.Close()
}

func (s *saramaClient) administer(work func(sarama.ClusterAdmin) error) error {
	admin, err := sarama.NewClusterAdmin(s.bootstrap, saramaConfig())
	if err != nil {
		return err
	}
	return errors.Join(work(admin), admin.Close())
}

func (s *saramaClient) Create(_ context.Context, asked *command) error {
	return s.administer(func(admin sarama.ClusterAdmin) error {
		configs := map[string]*string{}
		for name, value := range asked.Configs {
			configs[name] = &value
		}
		return admin.CreateTopic(asked.Topic, &sarama.TopicDetail{
			NumPartitions: int32(asked.Partitions), ReplicationFactor: 1, ConfigEntries: configs}, false)
	})
}

func (s *saramaClient) Describe(_ context.Context, topic string) (*description, error) {
	result := &description{0, map[string]string{}}
	return result, s.administer(func(admin sarama.ClusterAdmin) error {
		topics, err := admin.DescribeTopics([]string{topic})
		if err != nil {
			return err
		}
		result.Partitions = len(topics[0].Partitions)
		entries, err := admin.DescribeConfig(sarama.ConfigResource{Type: sarama.TopicResource, Name: topic})
		for _, entry := range entries {
			result.Configs[entry.Name] = entry.Value
		}
		return err
	})
}

func (s *saramaClient) Alter(_ context.Context, asked *command) error {
	return s.administer(func(admin sarama.ClusterAdmin) error {
		changes := map[string]sarama.IncrementalAlterConfigsEntry{}
		for name, value := range asked.Configs {
			changes[name] = sarama.IncrementalAlterConfigsEntry{
				Operation: sarama.IncrementalAlterConfigsOperationSet, Value: &value}
		}
		return admin.IncrementalAlterConfig(sarama.TopicResource, asked.Topic, changes, false)
	})
}

func (s *saramaClient) Grow(_ context.Context, asked *command) error {
	return s.administer(func(admin sarama.ClusterAdmin) error {
		return admin.CreatePartitions(asked.Topic, int32(asked.Partitions), nil, false)
	})
}

func (s *saramaClient) Delete(_ context.Context, topic string) error {
	return s.administer(func(admin sarama.ClusterAdmin) error { return admin.DeleteTopic(topic) })
}

func (s *saramaClient) Lag(_ context.Context, group, topic string) (map[int32]int64, error) {
	plain, err := sarama.NewClient(s.bootstrap, saramaConfig())
	if err != nil {
		return nil, err
	}
	admin, err := sarama.NewClusterAdminFromClient(plain)
	if err != nil {
		return nil, err
	}
	defer admin.Close()
	partitions, err := plain.Partitions(topic)
	if err != nil {
		return nil, err
	}
	committed, err := admin.ListConsumerGroupOffsets(group, map[string][]int32{topic: partitions})
	if err != nil {
		return nil, err
	}
	result := map[int32]int64{}
	for _, partition := range partitions {
		end, err := plain.GetOffset(topic, partition, sarama.OffsetNewest)
		if err != nil {
			return nil, err
		}
		result[partition] = end - committed.GetBlock(topic, partition).Offset
	}
	return result, nil
}
