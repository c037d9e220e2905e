// A sidecar of refact-edge, for programs of .NET and Mono. Its messages are a line of JSON each.
using System;
using System.Collections.Concurrent;
using System.Collections.Generic;
using System.Diagnostics;
using System.IO;
using System.Linq;
using System.Runtime.Serialization;
using System.Runtime.Serialization.Json;
using System.Text;
using System.Threading;
using System.Threading.Tasks;

namespace RefactEdge
{
    /// <summary>An error that the sidecar answers with; Kind is its name in Python.</summary>
    public sealed class SidecarException : Exception
    {
        public long Code { get; }
        public string Kind { get; }

        public SidecarException(long code, string kind, string message) : base(message)
        {
            Code = code;
            Kind = kind;
        }
    }

    /// <summary>What was generated, and the id by which it is accepted.</summary>
    public sealed class Answer
    {
        public long Id { get; internal set; }
        public string Text { get; internal set; }
        public string Finish { get; internal set; }
        public Usage Usage { get; internal set; }
    }

    /// <summary>A process that completes and chats. Its methods may be called from any thread.</summary>
    public sealed class Sidecar : IDisposable
    {
        private readonly Process process;
        private readonly StreamWriter writer;
        private readonly Thread reading;
        private readonly ConcurrentDictionary<long, Call> calls = new ConcurrentDictionary<long, Call>();
        private readonly TaskCompletionSource<bool> ready = new TaskCompletionSource<bool>();
        private readonly StringBuilder complaints = new StringBuilder();
        private readonly object turn = new object();
        private long number;
        private volatile SidecarException gone;

        /// <summary>What the sidecar and its model are.</summary>
        public Initialized Info { get; private set; }

        /// <summary>Start one for a bundle, or the demo's, and wait until it is ready.</summary>
        public static async Task<Sidecar> StartAsync(string bundle = null, string command = "refact-edge")
        {
            var sidecar = new Sidecar(bundle, command);
            await sidecar.ready.Task.ConfigureAwait(false);
            var who = new InitializeParams { Client = ".NET", ProcessId = Process.GetCurrentProcess().Id };
            sidecar.Info = (await sidecar.CallAsync<InitializeParams, Initialized>("initialize", who)
                .ConfigureAwait(false)).Result;
            return sidecar;
        }

        private Sidecar(string bundle, string command)
        {
            var name = bundle == null ? "" : "\"" + bundle + "\" ";
            process = Process.Start(new ProcessStartInfo(command, "sidecar " + name + "--lines")
            {
                UseShellExecute = false,
                CreateNoWindow = true,
                RedirectStandardInput = true,
                RedirectStandardOutput = true,
                RedirectStandardError = true,
            });
            writer = new StreamWriter(process.StandardInput.BaseStream, new UTF8Encoding(false));
            process.ErrorDataReceived += (_, line) =>
            {
                lock (complaints) complaints.AppendLine(line.Data);
            };
            process.BeginErrorReadLine();
            reading = new Thread(Read) { IsBackground = true, Name = "refact-edge sidecar" };
            reading.Start();
        }

        public Task<Answer> CompleteAsync(
            CompleteParams request, Action<string> onPiece = null, CancellationToken cancel = default(CancellationToken))
        {
            if (onPiece != null) request.Stream = true;
            return AnswerAsync("complete", request, onPiece, cancel);
        }

        public Task<Answer> ChatAsync(
            ChatParams request, Action<string> onPiece = null, CancellationToken cancel = default(CancellationToken))
        {
            if (onPiece != null) request.Stream = true;
            return AnswerAsync("chat", request, onPiece, cancel);
        }

        /// <summary>Evaluate a prompt ahead, as when a file is opened.</summary>
        public async Task<Usage> WarmAsync(WarmParams request)
        {
            return (await CallAsync<WarmParams, Usage>("warm", request).ConfigureAwait(false)).Result;
        }

        /// <summary>Say that the user took a completion; the next prompt is prepared.</summary>
        public Task AcceptAsync(Answer completion)
        {
            return CallAsync<RequestParams, object>("accept", new RequestParams { Id = completion.Id });
        }

        public async Task<Stats> StatsAsync()
        {
            return (await CallAsync<NoParams, Stats>("stats", new NoParams()).ConfigureAwait(false)).Result;
        }

        /// <summary>End the sidecar; what is still computed is an error where it is awaited.</summary>
        public void Dispose()
        {
            try { writer.Dispose(); } catch (IOException) { } // of one that has ended
            if (!reading.Join(5000))
            {
                process.Kill();
                reading.Join();
            }
            process.Dispose();
        }

        private async Task<Answer> AnswerAsync<P>(
            string method, P request, Action<string> onPiece, CancellationToken cancel)
        {
            var reply = await CallAsync<P, Generated>(method, request, onPiece, cancel).ConfigureAwait(false);
            var text = reply.Result;
            return new Answer { Id = reply.Id, Text = text.Text, Finish = text.Finish, Usage = text.Usage };
        }

        private async Task<Reply<R>> CallAsync<P, R>(
            string method, P request, Action<string> onPiece = null, CancellationToken cancel = default(CancellationToken))
        {
            var call = new Call { OnPiece = onPiece };
            var id = Interlocked.Increment(ref number);
            calls[id] = call;
            if (gone != null) throw gone;
            Send(new Request<P> { Id = id, Method = method, Params = request });
            using (cancel.Register(() => Send(new Request<RequestParams>
            {
                Method = "cancel",
                Params = new RequestParams { Id = id },
            })))
                return Json.Read<Reply<R>>(await call.Line.Task.ConfigureAwait(false));
        }

        private void Send<T>(T message)
        {
            var line = Json.Write(message);
            try
            {
                lock (turn)
                {
                    writer.Write(line);
                    writer.Write('\n');
                    writer.Flush();
                }
            }
            catch (Exception error) when (error is IOException || error is ObjectDisposedException)
            {
                End(); // whoever waits for an answer gets to know it
            }
        }

        private void Read()
        {
            using (var reader = new StreamReader(process.StandardOutput.BaseStream, new UTF8Encoding(false)))
            {
                string line;
                while ((line = reader.ReadLine()) != null) Take(line);
            }
            process.WaitForExit();
            End();
        }

        private void Take(string line)
        {
            var head = Json.Read<Head>(line);
            Call call;
            if (head.Method == "ready") ready.TrySetResult(true);
            else if (head.Method == "piece")
            {
                var piece = Json.Read<Notification<PieceOf>>(line).Params;
                if (calls.TryGetValue(piece.Id, out call)) call.OnPiece?.Invoke(piece.Text);
            }
            else if (head.Id != null && calls.TryRemove(head.Id.Value, out call))
            {
                // Whoever awaits goes on in a thread of its own: this one reads.
                if (head.Error == null) Task.Run(() => call.Line.TrySetResult(line));
                else
                {
                    var error = new SidecarException(head.Error.Code, head.Error.Data?.Kind, head.Error.Message);
                    Task.Run(() => call.Line.TrySetException(error));
                }
            }
        }

        private void End()
        {
            string said;
            lock (complaints) said = complaints.ToString().Trim().Split('\n').Last().Trim();
            gone = new SidecarException(0, "", "the sidecar is gone: " + said);
            ready.TrySetException(gone);
            foreach (var id in calls.Keys)
            {
                Call call;
                if (calls.TryRemove(id, out call)) call.Line.TrySetException(gone);
            }
        }

        private sealed class Call
        {
            public readonly TaskCompletionSource<string> Line = new TaskCompletionSource<string>();
            public Action<string> OnPiece;
        }
    }

    [DataContract]
    internal sealed class Request<T>
    {
        [DataMember(Name = "jsonrpc", Order = 0)] public string Version = "2.0";
        [DataMember(Name = "id", Order = 1, EmitDefaultValue = false)] public long? Id;
        [DataMember(Name = "method", Order = 2)] public string Method;
        [DataMember(Name = "params", Order = 3)] public T Params;
    }

    [DataContract]
    internal sealed class Reply<T>
    {
        [DataMember(Name = "id")] public long Id;
        [DataMember(Name = "result")] public T Result;
    }

    [DataContract]
    internal sealed class Notification<T>
    {
        [DataMember(Name = "params")] public T Params;
    }

    [DataContract]
    internal sealed class Head
    {
        [DataMember(Name = "id")] public long? Id;
        [DataMember(Name = "method")] public string Method;
        [DataMember(Name = "error")] public Fault Error;
    }

    [DataContract]
    internal sealed class Fault
    {
        [DataMember(Name = "code")] public long Code;
        [DataMember(Name = "message")] public string Message;
        [DataMember(Name = "data")] public Failure Data;
    }

    internal static class Json
    {
        public static string Write<T>(T value)
        {
            using (var stream = new MemoryStream())
            {
                new DataContractJsonSerializer(typeof(T)).WriteObject(stream, value);
                return Encoding.UTF8.GetString(stream.ToArray());
            }
        }

        public static T Read<T>(string line)
        {
            using (var stream = new MemoryStream(Encoding.UTF8.GetBytes(line)))
                return (T)new DataContractJsonSerializer(typeof(T)).ReadObject(stream);
        }
    }
}
