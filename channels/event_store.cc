#include "channels/event_store.h"

#include <utility>

#include "channels/event_filter.h"
#include "channels/event_text.h"
#include "channels/event_writer.h"

namespace salve {

absl::StatusOr<std::unique_ptr<EventStore>> EventStore::Open(EventStoreOptions options) {
  if (options.path.empty()) return absl::InvalidArgumentError("event store: no path");
  if (options.clock == nullptr) return absl::InvalidArgumentError("event store: no clock");
  std::unique_ptr<EventStore> store(new EventStore(options.server, options.path, *options.clock,
                                                   options.queue, options.next_record_id));
  store->writer_ = std::make_unique<EventWriter>(store->queue_, std::move(options));
  store->open_report_ = store->writer_->Start();
  return store;
}

EventStore::EventStore(std::string server, std::string path, const Clock& clock,
                       EventQueueBounds bounds, uint64_t next_record_id)
    : clock_(clock),
      path_(std::move(path)),
      server_(std::move(server)),
      queue_(bounds, next_record_id) {}

EventStore::~EventStore() {
  queue_.Stop();
  writer_->Join();
}

uint64_t EventStore::Append(v1::Event event) {
  SetTimestamp(clock_.WallNow(), event.mutable_time());
  event.set_server(server_);
  MakeStorable(&event);
  return queue_.Append(std::move(event));
}

absl::Status EventStore::Flush(Instant deadline) {
  return queue_.AwaitSynced(deadline - clock_.Now());
}

absl::StatusOr<std::unique_ptr<EventSubscription>> EventStore::Subscribe(
    v1::QueryEventsRequest filter) {
  std::shared_ptr<SubscriptionQueue> queue = queue_.Subscribe(std::move(filter));
  if (queue == nullptr) return absl::ResourceExhaustedError("too many follow the events already");
  return std::make_unique<EventSubscription>(std::move(queue), std::vector<v1::Event>());
}

void EventStore::Reconfigure(RetentionTable retention, std::vector<ExportRoute> exports) {
  writer_->Reconfigure(std::move(retention), std::move(exports));
}

uint64_t EventStore::dropped() const { return queue_.dropped(); }
absl::Status EventStore::trouble() const { return queue_.trouble(); }
uint64_t EventStore::file_generation() const { return writer_->generation(); }
void EventStore::ReportDamage(uint64_t generation) { writer_->ReportDamage(generation); }

}  // namespace salve
