# frozen_string_literal: true

require "date"

# Events with a start and an end, and the free time between them.
class Calendar
  Event = Struct.new(:title, :from, :to) do
    def overlaps?(other)
      from < other.to && other.from < to
    end

    def length
      to - from
    end
  end

  include Enumerable

  def initialize(events = [])
    @events = events.sort_by(&:from)
  end

  def each(&block)
    return enum_for(:each) unless block_given?

    @events.each(&block)
  end

  def add(title, from:, to:)
    raise ArgumentError, "#{title} ends before it begins" unless from < to

    event = Event.new(title, from, to)
    conflict = find { |known| known.overlaps?(event) }
    raise ArgumentError, "#{title} overlaps #{conflict.title}" if conflict

    @events = (@events + [event]).sort_by(&:from)
    event
  end

  def on(day)
    select { |event| event.from.to_date == day }
  end

  def gaps(shortest: 0)
    each_cons(2).filter_map do |before, after|
      gap = after.from - before.to
      [before.to, after.from] if gap > shortest
    end
  end
end
